//! Instructions that say what an image is: its config and its history, as BuildKit writes them before anything is made flat.

use serde_json::{Value, json};

use crate::support::{Archive, Outcome, World, assert_none, run};

/// Directories for Dockerfiles, built one after the other with one cache.
struct Bench(World);

impl Bench {
    fn new() -> Self {
        let world = World::new();
        world.write("ctx/a", "a");
        world.write("ctx/d/b", "b");
        Self(world)
    }

    fn try_build(&self, dockerfile: &str, args: &[&str]) -> Outcome {
        self.0.write("ctx/Dockerfile", dockerfile);
        let mut command = self.0.command();
        command.args(["build", "--layers=keep", "-o", "type=docker,dest=out.tar"]);
        run(command.args(["--build-context", &self.0.base_context("busybox")]).args(args).arg("ctx"))
    }

    #[track_caller]
    fn build(&self, dockerfile: &str, args: &[&str]) -> Value {
        self.try_build(dockerfile, args).success();
        Archive::read(&self.0.path("out.tar")).config
    }

    /// What a stage on top of nothing says of itself: the config's member, `PATH` and the directory left out.
    #[track_caller]
    fn config(&self, instructions: &str) -> Value {
        let mut config = self.build(&format!("FROM scratch\n{instructions}\n"), &[])["config"].clone();
        let members = config.as_object_mut().unwrap();
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        assert_eq!(members["Env"][0], path);
        match members["Env"].as_array_mut().unwrap() {
            variables if variables.len() == 1 => drop(members.remove("Env")),
            variables => drop(variables.remove(0)),
        }
        if members["WorkingDir"] == "/" {
            members.remove("WorkingDir");
        }
        config
    }
}

/// The history's lines; `+` in front of one that made a layer.
fn history(image: &Value) -> Vec<String> {
    let line = |line: &Value| {
        assert_eq!(line["comment"], "buildkit.dockerfile.v0");
        let mark = if line["empty_layer"] == true { "" } else { "+" };
        format!("{mark}{}", line["created_by"].as_str().unwrap())
    };
    image["history"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn every_instruction_is_in_the_config_as_buildkit_writes_it() {
    let bench = Bench::new();
    let shell = |text: &str| json!(["/bin/sh", "-c", text]);
    for (instructions, expected) in [
        // commands, and who takes whom away
        ("CMD [\"a\", \"b c\"]", json!({"Cmd": ["a", "b c"], "ArgsEscaped": true})),
        ("CMD a  'b c'", json!({"Cmd": shell("a  'b c'"), "ArgsEscaped": true})),
        ("CMD [\"a\", 'b']", json!({"Cmd": shell("[\"a\", 'b']"), "ArgsEscaped": true})),
        ("CMD []", json!({"ArgsEscaped": true})),
        ("CMD a\nCMD []", json!({"ArgsEscaped": true})),
        ("ENTRYPOINT [\"e\"]", json!({"Entrypoint": ["e"]})),
        ("ENTRYPOINT e \\\n  f", json!({"Entrypoint": shell("e   f")})),
        ("CMD [\"c\"]\nENTRYPOINT [\"e\"]", json!({"Entrypoint": ["e"], "Cmd": ["c"], "ArgsEscaped": true})),
        ("ENTRYPOINT [\"e\"]\nENTRYPOINT []", json!({})),
        (
            "SHELL [\"/s\", \"-x\"]\nCMD a b",
            json!({"Shell": ["/s", "-x"], "Cmd": ["/s", "-x", "a b"], "ArgsEscaped": true}),
        ),
        // variables: the place of the first, the value of the last
        ("ENV A=1 B=2\nENV C=3 A=4", json!({"Env": ["A=4", "B=2", "C=3"]})),
        ("ENV a=\"b c\" d='e  f' g=h\\ i j=k=l", json!({"Env": ["a=b c", "d=e  f", "g=h i", "j=k=l"]})),
        ("ENV k  v  w  x  \nENV e=", json!({"Env": ["k=v  w  x", "e="]})),
        ("ENV A=1\nENV A=2 B=$A C=${A}x", json!({"Env": ["A=2", "B=1", "C=1x"]})),
        ("ARG A=1\nENV A=${A:-x}", json!({"Env": ["A=1"]})),
        // labels
        ("LABEL a=b \"c d\"=\"e\" f='g h'\nLABEL a=z", json!({"Labels": {"a": "z", "c d": "e", "f": "g h"}})),
        ("LABEL k some value\nLABEL m=\"1\\\n2\"", json!({"Labels": {"k": "some value", "m": "12"}})),
        ("ENV V=x\nLABEL $V=${V}y z='$V' q=\\$V", json!({"Env": ["V=x"], "Labels": {"x": "xy", "z": "$V", "q": "$V"}})),
        // ports
        (
            "EXPOSE 80 53/UDP 8000-8002/sctp",
            json!({"ExposedPorts": {"80/tcp": {}, "53/udp": {}, "8000/sctp": {}, "8001/sctp": {}, "8002/sctp": {}}}),
        ),
        (
            "ENV P=\"1 2/udp\"\nEXPOSE $P 127.0.0.1:5:6",
            json!({"Env": ["P=1 2/udp"], "ExposedPorts": {"1/tcp": {}, "2/udp": {}, "6/tcp": {}}}),
        ),
        // volumes
        ("VOLUME /a /b c\nVOLUME [\"/d e\", \"/a\"]", json!({"Volumes": {"/a": {}, "/b": {}, "c": {}, "/d e": {}}})),
        ("VOLUME ['/a']", json!({"Volumes": {"[/a]": {}}})),
        // directories: an absolute one as it is written, a relative one below the former
        ("WORKDIR a", json!({"WorkingDir": "/a"})),
        ("WORKDIR /a/\nWORKDIR b/../c", json!({"WorkingDir": "/a/c"})),
        ("WORKDIR /a//b/", json!({"WorkingDir": "/a//b/"})),
        ("WORKDIR /a\nWORKDIR ../../..", json!({})),
        ("ENV D=/x\nWORKDIR $D/y\nWORKDIR \"z w\"", json!({"Env": ["D=/x"], "WorkingDir": "/x/y/z w"})),
        ("WORKDIR C:\\\\win", json!({"WorkingDir": "/C:\\win"})),
        // the rest
        ("USER a b\nUSER me:us", json!({"User": "me:us"})),
        ("ENV U=7\nUSER ${U}:8", json!({"Env": ["U=7"], "User": "7:8"})),
        ("STOPSIGNAL 99\nSTOPSIGNAL 9", json!({"StopSignal": "9"})),
        ("STOPSIGNAL term\nSTOPSIGNAL SIGRTMIN+3", json!({"StopSignal": "SIGRTMIN+3"})),
        ("ONBUILD RUN a \\\n  b\nonbuild COPY . /x", json!({"OnBuild": ["RUN a   b", "COPY . /x"]})),
        ("ONBUILD RUN <<EOF\necho $x\nEOF", json!({"OnBuild": ["RUN <<EOF\necho $x\nEOF"]})),
        // health: nanoseconds, and nothing where nothing is said
        ("HEALTHCHECK CMD a b", json!({"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}})),
        ("HEALTHCHECK NONE", json!({"Healthcheck": {"Test": ["NONE"]}})),
        ("HEALTHCHECK --interval=0s --retries=0 CMD [\"a\"]", json!({"Healthcheck": {"Test": ["CMD", "a"]}})),
        (
            "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2h --start-interval=1ms --retries=3 CMD a",
            json!({"Healthcheck": {
                "Test": ["CMD-SHELL", "a"], "Interval": 90_000_000_000_u64, "Timeout": 1_500_000_000,
                "StartPeriod": 7_200_000_000_000_u64, "StartInterval": 1_000_000, "Retries": 3,
            }}),
        ),
        ("HEALTHCHECK CMD a\nHEALTHCHECK NONE", json!({"Healthcheck": {"Test": ["NONE"]}})),
    ] {
        assert_eq!(bench.config(instructions), expected, "{instructions}");
    }
}

#[test]
fn what_buildkit_refuses_is_refused() {
    let (bench, mut wrong) = (Bench::new(), Vec::new());
    for (instruction, message) in [
        ("CMD [1]", "only"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV =x", "ENV names can not be blank"),
        ("LABEL =x", "LABEL names can not be blank"),
        ("LABEL a", "LABEL must have two arguments"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE 80/icmp", "invalid proto: icmp"),
        ("EXPOSE 9-8", "invalid containerPort: 9-8"),
        ("EXPOSE 70000", "invalid containerPort: 70000"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
        ("VOLUME $none", "VOLUME specified can not be an empty string"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("USER", "USER requires exactly one argument"),
        ("STOPSIGNAL none", "invalid signal: none"),
        ("STOPSIGNAL 0", "invalid signal: 0"),
        ("SHELL sh", "SHELL requires the arguments to be in JSON form"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK RUN x", "Unknown type \"RUN\" in HEALTHCHECK (try CMD)"),
        ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=999us CMD x", "Interval \"interval\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=-1s CMD x", "Interval \"timeout\" cannot be less than 1ms"),
        ("HEALTHCHECK --timeout=5 CMD x", "did you mean 5s?"),
        ("HEALTHCHECK --retries=-1 CMD x", "--retries cannot be negative (-1)"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
    ] {
        let outcome = bench.try_build(&format!("FROM scratch\n{instruction}\n"), &[]);
        let told = outcome.stderr.contains(message) && outcome.stderr.contains("Dockerfile:2");
        if outcome.code != Some(1) || !told {
            wrong.push(format!("{instruction}: {outcome}"));
        }
    }
    assert_none("not refused as it should be", &wrong);
}

#[test]
fn each_line_of_history_is_buildkit_s() {
    let bench = Bench::new();
    let dockerfile = r#"FROM scratch AS s
COPY a /a
FROM scratch
MAINTAINER me  <me@example.org>
ENV A=1 "B"='x y'
ARG V=1 W
ARG V=2
LABEL l="m n"
EXPOSE 81 80
VOLUME ["/v", "/w x"]
USER 1
WORKDIR /
WORKDIR /dir
WORKDIR sub
STOPSIGNAL SIGTERM
SHELL ["/x", "-c"]
ENTRYPOINT ["e", "q\"uote"]
CMD run it
HEALTHCHECK --interval=90s --timeout=1ms CMD ["h"]
ONBUILD RUN nothing
COPY a d /x/
COPY --from=s --chown=1:2 --chmod=644 a $A
COPY --link --exclude=*.o a /linked
COPY --parents d/b /p/
ADD --chown=3 a b*  /y/
COPY <<one <<"two" /docs/
1
one
$2
two
"#;
    let image = bench.build(dockerfile, &[]);
    assert_eq!(image["author"], "me  <me@example.org>");
    assert_eq!(
        history(&image),
        [
            "MAINTAINER me  <me@example.org>",
            "ENV A=1 B=x y",
            "ARG V=1 W",
            "ARG V=2",
            "LABEL l=m n",
            "EXPOSE [80/tcp 81/tcp]",
            "VOLUME [/v /w x]",
            "USER 1",
            "WORKDIR /",
            "+WORKDIR /dir",
            "+WORKDIR /dir/sub",
            "STOPSIGNAL SIGTERM",
            "SHELL [/x -c]",
            "ENTRYPOINT [\"e\" \"q\\\"uote\"]",
            "CMD [\"/x\" \"-c\" \"run it\"]",
            "HEALTHCHECK {Test:[CMD h] Interval:1m30s Timeout:1ms StartPeriod:0s StartInterval:0s Retries:0}",
            "+COPY a d /x/ # buildkit",
            "+COPY --chown=1:2 --chmod=644 a 1 # buildkit",
            "+COPY a /linked # buildkit",
            "+COPY --parents d/b /p/ # buildkit",
            "+ADD --chown=3 a b* /y/ # buildkit",
            "+COPY <<one <<two /docs/ # buildkit",
        ]
    );
    assert_eq!(image["config"]["OnBuild"], json!(["RUN nothing"]));
}

#[test]
fn lines_of_steps_that_run_tell_their_arguments() {
    let bench = Bench::new();
    let dockerfile = "FROM busybox\nARG B=2\nARG A\nENV E=3\nRUN --mount=type=tmpfs,target=/t --network=none true $A\n\
        ENV B=from-env\nRUN [\"true\", \"a b\"]\nARG B=5\nRUN <<EOF\ntrue\necho $B > /b\nEOF\nRUN <<EOF sh\ntrue\nEOF\n\
        RUN <<EOF\n#!/bin/sh\ntrue\nEOF\nARG http_proxy\nRUN true\n";
    let args = [
        "--build-arg=A=x y",
        "--build-arg=HTTPS_PROXY=http://127.0.0.1:1/",
        "--build-arg=http_proxy=http://127.0.0.1:2/",
    ];
    let image = bench.build(dockerfile, &args);
    let lines = history(
        &json!({"history": image["history"].as_array().unwrap().iter().filter(|l| l["comment"] == "buildkit.dockerfile.v0").collect::<Vec<_>>()}),
    );
    assert_eq!(
        lines,
        [
            "ARG B=2",
            "ARG A=x y",
            "ENV E=3",
            "+RUN |2 B=2 A=x y /bin/sh -c true $A # buildkit",
            "ENV B=from-env",
            "+RUN |2 B=from-env A=x y true a b # buildkit",
            "ARG B=5",
            "+RUN |2 B=5 A=x y /bin/sh -c true\necho $B > /b\n # buildkit",
            "+RUN |2 B=5 A=x y /bin/sh -c <<EOF sh\ntrue\nEOF # buildkit",
            "+RUN |2 B=5 A=x y /bin/sh -c /dev/pipes/EOF # buildkit",
            "ARG http_proxy=http://127.0.0.1:2/",
            "+RUN |3 B=5 A=x y http_proxy=http://127.0.0.1:2/ /bin/sh -c true # buildkit",
        ]
    );
    let env = image["config"]["Env"].as_array().unwrap();
    assert!(
        env.contains(&json!("B=from-env")) && !env.iter().any(|v| v.as_str().unwrap().contains("proxy")),
        "{env:?}"
    );
}

#[test]
fn what_is_inherited_counts_in_another_way_than_what_is_said() {
    let bench = Bench::new();
    let base = "FROM scratch AS base\nENV A=1\nLABEL a=b c=d\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\nEXPOSE 1\nVOLUME /v\nUSER u\n\
        WORKDIR /w\nSTOPSIGNAL 3\nSHELL [\"/s\"]\nHEALTHCHECK CMD h\nONBUILD ENV T=1\nONBUILD LABEL t=$T\n";
    let everything =
        bench.build(&format!("{base}FROM base\n"), &["--label", "a=cli", "--label", "new"])["config"].clone();
    assert_eq!(
        everything,
        json!({
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1", "T=1"],
            "Labels": {"a": "cli", "c": "d", "t": "1", "new": ""}, "Entrypoint": ["e"], "Cmd": ["c"],
            "ExposedPorts": {"1/tcp": {}}, "Volumes": {"/v": {}}, "User": "u", "WorkingDir": "/w", "StopSignal": "3",
            "Shell": ["/s"], "ArgsEscaped": true, "Healthcheck": {"Test": ["CMD-SHELL", "h"]},
        })
    );
    let command = |more: &str| {
        let config = bench.build(&format!("{base}FROM base\n{more}\n"), &[])["config"].clone();
        (config["Entrypoint"].clone(), config["Cmd"].clone())
    };
    assert_eq!(command("ENTRYPOINT [\"n\"]"), (json!(["n"]), Value::Null));
    assert_eq!(command("CMD [\"n\"]"), (json!(["e"]), json!(["n"])));
    assert_eq!(command("CMD [\"n\"]\nENTRYPOINT [\"m\"]"), (json!(["m"]), json!(["n"])));
    assert_eq!(command("ENTRYPOINT []"), (Value::Null, Value::Null));
    assert_eq!(command("CMD []"), (json!(["e"]), Value::Null));
    // triggers are for the next image, once
    let image = bench.build(&format!("{base}FROM base AS next\nFROM next\n"), &[]);
    assert_eq!(image["config"]["OnBuild"], Value::Null);
    assert_eq!(history(&image).iter().filter(|line| line.starts_with("ENV T")).count(), 1);
}

#[test]
fn a_line_of_history_has_the_time_of_its_layer() {
    let bench = Bench::new();
    let dockerfile = "FROM busybox\nENV A=1\nRUN sleep 1.1; echo > /a\nCMD [\"x\"]\nCOPY a /b\nLABEL l=l\n";
    let image = bench.build(dockerfile, &[]);
    let lines: Vec<&Value> = image["history"].as_array().unwrap().iter().collect();
    let time = |line: &Value| line["created"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let own: Vec<i64> =
        lines.iter().filter(|line| line["comment"] == "buildkit.dockerfile.v0").map(|l| time(l)).collect();
    let [env, ran, cmd, copied, label] = own[..] else { panic!("{image}") };
    assert!(own[0] - time(lines[0]) > 1_000_000, "the base is years older");
    assert_eq!((env, label), (ran, copied), "what makes no layer has its neighbour's time");
    assert!(cmd == copied || cmd == ran, "{own:?}");
    assert!(time(&image) >= copied - 1 && (copied - ran).abs() < 60_000);
    assert_eq!(bench.build(dockerfile, &[]), image, "out of the cache it is the same");
}
