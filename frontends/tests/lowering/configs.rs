//! Image configs.

use routerpack_frontends::dockerfile::lower::Options;

use crate::world::*;

#[test]
fn the_whole_config_is_buildkits() {
    let lowered = simple(
        "FROM alpine\nMAINTAINER me\nLABEL a=\"b c\" d=e\nEXPOSE 80 53/UDP 8000-8001\nENV A=\"1 2\"\nVOLUME /v [\"x\"]\n\
         WORKDIR /w\nUSER 1:2\nSTOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=30s --timeout=1m30s --retries=3 CMD curl -f x\n\
         ENTRYPOINT [\"/e\", \"q\\\"\"]\nCMD y z\nONBUILD RUN later\nCOPY --chown=1 a b /c/\nRUN true\n",
    );
    let config = lowered.config.to_json().unwrap();
    let base = routerpack_graph::Digest::of(b"docker.io/library/alpine:latest");
    let line = |text: &str, layer: bool| {
        let empty = if layer { "" } else { r#","empty_layer":true"# };
        let text = serde_json::Value::from(text).to_string();
        format!(r#"{{"created_by":{text},"comment":"buildkit.dockerfile.v0"{empty}}}"#)
    };
    let history = [
        line("MAINTAINER me", false),
        line("LABEL a=b c d=e", false),
        line("EXPOSE [53/udp 80/tcp 8000/tcp 8001/tcp]", false),
        line("ENV A=1 2", false),
        line("VOLUME [/v [\"x\"]]", false).replace(r#"[\"x\"]"#, "[x]"),
        line("WORKDIR /w", true),
        line("USER 1:2", false),
        line("STOPSIGNAL SIGINT", false),
        line(
            "HEALTHCHECK {Test:[CMD-SHELL curl -f x] Interval:30s Timeout:1m30s StartPeriod:0s StartInterval:0s Retries:3}",
            false,
        ),
        line(r#"ENTRYPOINT ["/e" "q\""]"#, false),
        line(r#"CMD ["/bin/sh" "-c" "y z"]"#, false),
        line("COPY --chown=1 a b /c/ # buildkit", true),
        line("RUN /bin/sh -c true # buildkit", true),
    ];
    let expected = format!(
        concat!(
            r#"{{"author":"me","architecture":"amd64","os":"linux","config":{{"User":"1:2","#,
            r#""ExposedPorts":{{"53/udp":{{}},"80/tcp":{{}},"8000/tcp":{{}},"8001/tcp":{{}}}},"#,
            r#""Env":["PATH=/bin","A=1 2"],"Entrypoint":["/e","q\""],"Cmd":["/bin/sh","-c","y z"],"#,
            r#""Volumes":{{"/v":{{}},"[x]":{{}}}},"WorkingDir":"/w","Labels":{{"a":"b c","d":"e"}},"#,
            r#""StopSignal":"SIGINT","ArgsEscaped":true,"Healthcheck":{{"Test":["CMD-SHELL","curl -f x"],"#,
            r#""Interval":30000000000,"Timeout":90000000000,"Retries":3}},"OnBuild":["RUN later"]}},"#,
            r#""rootfs":{{"type":"layers","diff_ids":["{}"]}},"history":[{{"created_by":"base"}},{}]}}"#
        ),
        base,
        history.join(",")
    );
    assert_eq!(config, expected);
}

#[test]
fn entrypoint_and_cmd_reset_each_other() {
    let world = World::new().image("docker.io/library/app:latest", r#"{"Entrypoint":["old"],"Cmd":["arg"]}"#);
    for (source, entrypoint, cmd) in [
        ("", vec!["old"], vec!["arg"]),
        ("ENTRYPOINT [\"new\"]\n", vec!["new"], vec![]),
        ("CMD [\"c\"]\n", vec!["old"], vec!["c"]),
        ("CMD [\"c\"]\nENTRYPOINT [\"new\"]\n", vec!["new"], vec!["c"]),
        ("ENTRYPOINT [\"new\"]\nCMD [\"c\"]\n", vec!["new"], vec!["c"]),
        ("ENTRYPOINT []\nCMD []\n", vec![], vec![]),
        ("ENTRYPOINT run it\n", vec!["/bin/sh", "-c", "run it"], vec![]),
    ] {
        let config = build(&format!("FROM app\n{source}"), &options(), &world).config.config;
        assert_eq!((config.entrypoint, config.cmd), (strings(&entrypoint), strings(&cmd)), "{source}");
    }
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

#[test]
fn healthchecks() {
    for (source, test) in [
        ("HEALTHCHECK NONE", vec!["NONE"]),
        ("HEALTHCHECK CMD [\"a\", \"b\"]", vec!["CMD", "a", "b"]),
        ("HEALTHCHECK CMD a b", vec!["CMD-SHELL", "a b"]),
    ] {
        let config = simple(&format!("FROM alpine\n{source}\n")).config.config;
        assert_eq!(config.healthcheck.unwrap().test, test);
    }
}

#[test]
fn labels_and_platform_of_the_command_line_win() {
    let options = Options {
        labels: [("a".to_string(), "cli".to_string())].into(),
        platform: Some(routerpack_graph::Platform::new("linux", "arm", "v7")),
        ..options()
    };
    let lowered = build("FROM alpine\nLABEL a=file b=file\n", &options, &World::new());
    let labels: Vec<_> = lowered.config.config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a=cli", "b=file"]);
    let config = &lowered.config;
    assert_eq!((&*config.architecture, &*config.variant, &config.created), ("arm", "v7", &None));
}

#[test]
fn variables_are_expanded_where_the_dialect_says() {
    let config = simple(
        "FROM alpine\nENV P=80 N=name V=/v S=9\nEXPOSE $P ${P}1/udp\nLABEL $N=$V \"lit\"='$V'\nUSER $N\nVOLUME $V\n\
         STOPSIGNAL $S\nWORKDIR $V/w\nCMD echo $V\nENTRYPOINT [\"$V\"]\n",
    )
    .config
    .config;
    assert_eq!(config.exposed_ports.keys().collect::<Vec<_>>(), ["80/tcp", "801/udp"]);
    let labels: Vec<_> = config.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["lit=$V", "name=/v"]);
    assert_eq!((&*config.user, &*config.stop_signal, &*config.working_dir), ("name", "9", "/v/w"));
    assert!(config.volumes.contains_key("/v"));
    assert_eq!(config.cmd[2], "echo $V");
    assert_eq!(config.entrypoint, ["$V"]);
}

#[test]
fn a_base_without_path_gets_one() {
    let world = World::new().image("docker.io/library/bare:latest", "{}");
    let config = build("FROM bare\n", &options(), &world).config.config;
    assert_eq!(config.env, ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
}
