//! The files that tell a step about names: `/etc/hosts` and `/etc/resolv.conf`.

use std::net::IpAddr;

/// `/etc/hosts` as BuildKit writes it (`executor/oci/hosts.go`): loopback under both names, then the extra ones.
pub fn hosts(hostname: &str, extra: &[(String, IpAddr)]) -> String {
    let mut text = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text
}

/// The machine's own `/etc/resolv.conf`: steps share its network, so its resolvers, loopback ones too, are
/// theirs. Empty where there is none.
pub fn host_resolv_conf() -> std::io::Result<String> {
    match std::fs::read_to_string("/etc/resolv.conf") {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_follow_the_loopback() {
        let text = hosts("box", &[("db".into(), "10.0.0.2".parse().unwrap())]);
        assert_eq!(text, "127.0.0.1\tlocalhost box\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.2\tdb\n");
    }
}
