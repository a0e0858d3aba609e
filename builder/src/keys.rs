//! Cache keys. A key covers all that a result may depend on, and nothing else.
//!
//! | part | why |
//! |---|---|
//! | the op's bytes, its inputs' digests blanked | what is done; inputs count by content, see below |
//! | facts of the executor (exec only): platform's emulation, its mode and CPU model, whether files can have owners | `uname -m`, `/proc/cpuinfo` and `chown` show them |
//! | an input's strata, by id | what is done to |
//! | for a copy's source: the digest of the selected content | so an unrelated change reruns nothing |
//!
//! Left out on purpose: secrets and agent sockets (a changed token is no changed input; BuildKit does
//! the same), proxy settings (`Meta.proxy_env`), the order of independent steps, names and source
//! positions, the user who builds.

use prost::Message;
use routerpack_graph::{Digest, pb};
use sha2::{Digest as _, Sha256};

/// Raised when results of older versions must not be used again.
const VERSION: &str = "routerpack op 1";

/// What one input contributes.
#[derive(Clone, PartialEq, Eq)]
pub enum InputKey {
    /// The strata's names.
    Strata(Vec<crate::rootfs::StratumId>),
    /// A digest of the content that is used.
    Content(Digest),
}

/// The key of an op. `facts` are `name=value` lines, in a fixed order.
pub fn key(op: &pb::Op, facts: &str, inputs: &[InputKey]) -> Digest {
    let mut op = op.clone();
    for input in &mut op.inputs {
        input.digest.clear();
    }
    if let Some(pb::op::Op::Exec(exec)) = &mut op.op
        && let Some(meta) = &mut exec.meta
    {
        meta.proxy_env = None;
    }
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(VERSION.as_bytes());
    field(&op.encode_to_vec());
    field(facts.as_bytes());
    for input in inputs {
        match input {
            InputKey::Strata(ids) => {
                field(&(ids.len() as u64).to_le_bytes());
                ids.iter().for_each(|id| field(id.to_string().as_bytes()));
            }
            InputKey::Content(digest) => field(digest.as_str().as_bytes()),
        }
    }
    Digest::from_hash(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::StratumId;

    fn op(arg: &str, input: &str, proxy: &str) -> pb::Op {
        let meta = pb::Meta {
            args: vec![arg.into()],
            proxy_env: Some(pb::ProxyEnv { http_proxy: proxy.into(), ..Default::default() }),
            ..Default::default()
        };
        pb::Op {
            inputs: vec![pb::Input { digest: input.into(), index: 0 }],
            op: Some(pb::op::Op::Exec(pb::ExecOp { meta: Some(meta), ..Default::default() })),
            ..Default::default()
        }
    }

    #[test]
    fn a_key_follows_content_not_history() {
        let strata = |text: &str| vec![InputKey::Strata(vec![StratumId::Layer(Digest::of(text.as_bytes()))])];
        let base = key(&op("make", "sha256:a", "p"), "f", &strata("x"));
        assert_eq!(base, key(&op("make", "sha256:b", "q"), "f", &strata("x")), "input digest and proxy don't count");
        for other in [
            key(&op("make install", "sha256:a", "p"), "f", &strata("x")),
            key(&op("make", "sha256:a", "p"), "g", &strata("x")),
            key(&op("make", "sha256:a", "p"), "f", &strata("y")),
            key(&op("make", "sha256:a", "p"), "f", &[]),
        ] {
            assert_ne!(base, other);
        }
    }
}
