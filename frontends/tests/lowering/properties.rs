//! Whatever the file: no panic, a valid graph, and the same one each time.

use proptest::prelude::*;
use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lower::lower;

use crate::world::*;

/// Lines that are mostly right, so that files get past the parser.
const LINES: &[&str] = &[
    "FROM alpine",
    "FROM alpine AS a",
    "FROM a AS b",
    "FROM b",
    "FROM scratch",
    "FROM $V",
    "FROM --platform=$TARGETPLATFORM alpine",
    "FROM hook AS c",
    "ARG V=alpine",
    "ARG V",
    "ARG W=${V:-x}",
    "ENV A=1 B=$A",
    "ENV PATH=/x:$PATH",
    "RUN make $A",
    "RUN [\"a\", \"b\"]",
    "RUN --mount=target=t --mount=type=cache,target=/c x",
    "RUN --mount=from=a,target=/a --mount=type=secret,id=s,env=S x",
    "RUN --mount=from=b,source=$V,target=../$V x",
    "RUN <<E\n#!/bin/x\ny\nE",
    "RUN cat <<E <<F\n1\nE\n2\nF",
    "COPY x /",
    "COPY --from=a --chown=u:$A x* $V/",
    "COPY --from=0 --link . .",
    "COPY --from=1 --parents a/./b /",
    "COPY --from=other --exclude=e x /",
    "COPY <<E /d/\n$V\nE",
    "ADD http://h/x /",
    "ADD git@h:r#b:d /",
    "WORKDIR $V",
    "WORKDIR ..",
    "USER $A",
    "LABEL $V=\"$A\"",
    "EXPOSE $A 80-81/udp",
    "VOLUME $V",
    "CMD x",
    "ENTRYPOINT [\"e\"]",
    "SHELL [\"s\"]",
    "HEALTHCHECK NONE",
    "STOPSIGNAL $A",
    "ONBUILD COPY --from=a x /",
    "ONBUILD RUN y",
    "MAINTAINER m",
];

fn world() -> World {
    World::new()
        .image("docker.io/library/hook:latest", r#"{"OnBuild":["COPY --from=other x /","RUN z"],"WorkingDir":"w"}"#)
        .image("docker.io/library/other:latest", "{}")
}

/// Gives the definition's bytes, if there is one.
fn bytes(source: &str) -> Option<Vec<u8>> {
    let file = Dockerfile::parse(source).ok()?;
    match lower(&file, source, &options(), &world()) {
        Ok(lowered) => {
            lowered.definition.graph().unwrap_or_else(|error| panic!("{source}: {error}"));
            Some(lowered.definition.to_bytes())
        }
        Err(error) => {
            assert!(error.span.end <= source.len() && source.is_char_boundary(error.span.start), "{source}: {error}");
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn files_of_usual_lines(lines in proptest::collection::vec(proptest::sample::select(LINES), 0..12)) {
        let source = format!("FROM alpine\n{}\n", lines.join("\n"));
        prop_assert_eq!(bytes(&source), bytes(&source));
    }

    #[test]
    fn instructions_with_any_words(
        keyword in proptest::sample::select(vec!["FROM", "COPY", "ADD", "RUN", "WORKDIR", "EXPOSE", "USER", "ARG", "STOPSIGNAL"]),
        words in "[ -~é]{0,30}",
    ) {
        bytes(&format!("FROM alpine\n{keyword} {words} /\n"));
    }

    #[test]
    fn mounts_with_any_values(value in "(type=(bind|cache|tmpfs|secret|ssh),)?[a-z]{2,7}=[-./$a-z0-9]{0,8}(,[a-z]{2,7}=[-./$a-z0-9]{0,8})?") {
        bytes(&format!("FROM alpine\nRUN --mount={value} x\n"));
    }
}
