//! What a target takes.

use routerpack_frontends::dockerfile::Dockerfile;
use routerpack_frontends::dockerfile::lower::{self, Options, Outline};

use crate::world::{World, options, with_args};

fn outline(source: &str, options: &Options) -> Outline {
    let world = World::new().image("docker.io/library/busybox:latest", "{}");
    lower::outline(&Dockerfile::parse(source).unwrap(), source, options, &world).unwrap()
}

const SOURCE: &str = "ARG inherited=box
ARG other=x
ARG unused=abc${other}
# sfx is a suffix
ARG sfx=\"usy${inherited}\"
FROM b${sfx} AS first
# this is not about FOO
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN --mount=type=secret,id=one,required=true --mount=type=ssh true
FROM alpine AS second
ARG BAZ
FROM scratch AS third
ARG ABC=a
# password is given
# check=skip=all
ARG password
ARG other
# target has all
FROM third AS target
COPY --from=first /a /
RUN --mount=type=secret,target=/x/two --mount=type=ssh,id=own,required true
FROM second
";

#[test]
fn a_target_has_what_it_needs() {
    let options = Options { target: Some("target".into()), ..with_args(&[("BAR", "678")]) };
    let outline = outline(SOURCE, &options);
    assert_eq!((outline.name.as_str(), outline.description.as_str()), ("target", "has all"));
    let args: Vec<_> = outline
        .args
        .iter()
        .map(|a| (a.name.as_str(), a.value.as_str(), a.description.as_str(), a.lines.start))
        .collect();
    assert_eq!(
        args,
        [
            ("inherited", "box", "", 1),
            ("other", "x", "", 2),
            ("sfx", "usybox", "is a suffix", 5),
            ("FOO", "123", "", 8),
            ("BAR", "678", "is a number", 10),
            ("ABC", "a", "", 15),
            ("password", "", "is given", 18),
        ]
    );
    let needed =
        |list: &[lower::Needed]| list.iter().map(|n| (n.name.clone(), n.required, n.lines.start)).collect::<Vec<_>>();
    assert_eq!(needed(&outline.secrets), [("one".into(), true, 11), ("two".into(), false, 23)]);
    assert_eq!(needed(&outline.ssh), [("default".into(), false, 11), ("own".into(), true, 23)]);
}

#[test]
fn the_last_stage_is_the_default() {
    let outline = outline(SOURCE, &options());
    assert_eq!(outline.name, "");
    assert_eq!(outline.args.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["BAZ"]);
}
