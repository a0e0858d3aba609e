//! BuildKit's rules, one table a family: a file, and what is found in it.

use routerpack_frontends::dockerfile::lower::Options;

use crate::world::{options, with_args};
use crate::{Mode, buildkit};

/// Checks files that have no other errors than what is found.
#[track_caller]
fn table(rows: &[(&str, &[&str])]) {
    for (source, expected) in rows {
        let (found, error) = buildkit(source, &options(), &[], Mode::Check);
        assert_eq!(error, None, "{source}");
        assert_eq!(found, *expected, "{source}");
    }
}

#[track_caller]
fn failing(source: &str, options: &Options, expected: &[&str], message: &str) {
    let (found, error) = buildkit(source, options, &[], Mode::Check);
    assert_eq!(found, expected, "{source}");
    assert_eq!(error.as_deref(), Some(message), "{source}");
}

#[test]
fn casing() {
    table(&[
        ("FROM scratch AS Bad", &["1 StageNameCasing: Stage name 'Bad' should be lowercase"]),
        ("FROM scratch as a\nFROM scratch AS b", &["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]),
        ("from scratch AS a", &["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"]),
        ("from scratch As a", &["1 FromAsCasing: 'As' and 'from' keywords' casing do not match"]),
        (
            "From scratch as a\nFROM scratch AS b",
            &[
                "1 ConsistentInstructionCasing: Command 'From' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "FROM scratch\ncopy a b\nCOPY a c",
            &[
                "2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "frOM scratch as a\nfrom scratch as b",
            &[
                "1 ConsistentInstructionCasing: Command 'frOM' should match the case of the command majority (lowercase)",
            ],
        ),
        // one against one: capitals win
        (
            "from scratch\nCOPY a b",
            &[
                "1 ConsistentInstructionCasing: Command 'from' should match the case of the command majority (uppercase)",
            ],
        ),
        ("arg a=1\nARG b\nfrom scratch\ncopy a b", &[]),
        ("FROM scratch\nCOPY <<copy /a\nrun\ncopy", &[]),
    ]);
}

#[test]
fn stages() {
    table(&[
        (
            "FROM scratch AS b\nFROM scratch AS b",
            &["2 DuplicateStageName: Duplicate stage name \"b\", stage names should be unique"],
        ),
        ("FROM scratch AS b1\nFROM scratch AS b2\nFROM scratch", &[]),
        (
            "FROM scratch AS scratch\nFROM scratch AS Context",
            &[
                "1 ReservedStageName: Stage name should not use the same name as reserved stage \"scratch\"",
                "2 ReservedStageName: Stage name should not use the same name as reserved stage \"context\"",
                "2 StageNameCasing: Stage name 'Context' should be lowercase",
            ],
        ),
        (
            "FROM scratch\nMAINTAINER me",
            &["2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"],
        ),
        ("FROM scratch\nCOPY a \\\n\n  b\nCOPY a \\\n# no\nb", &["4 NoEmptyContinuation: Empty continuation line"]),
        ("FROM scratch\nRUN <<A cat \\\n\n<<B\nA\nB", &["4 NoEmptyContinuation: Empty continuation line"]),
        // A comment above has no say, the file's choice has.
        ("FROM scratch\n# check=skip=all\nCOPY a \\\n\n  b", &["5 NoEmptyContinuation: Empty continuation line"]),
        ("# check=skip=NoEmptyContinuation\nFROM scratch\nCOPY a \\\n\n  b", &[]),
    ]);
}

#[test]
fn descriptions() {
    let on = "# check=experimental=InvalidDefinitionDescription\n";
    table(&[
        ("# bar\nARG foo=bar\nFROM scratch", &[]),
        (
            &format!(
                "{on}# foo is\nARG foo=1\n\n# base is\nFROM scratch AS base\n# baz\nARG a=1 baz=2\n#\nARG b\n# x\nCOPY a b"
            ),
            &[],
        ),
        (
            &format!(
                "{on}# bar\nARG foo=1\n# BasE is\nFROM scratch AS base\n# bad\nARG a=1 b=2\n# no name, no rule\nFROM scratch"
            ),
            &[
                "3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`",
                "5 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`",
                "7 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`",
            ],
        ),
        // A choice of rules is a comment like others where it stands last.
        (
            &format!("{on}# foo is\n# check=skip=all\nARG foo=1\n# check=skip=all\n# foo is\nARG foo=1\nFROM scratch"),
            &["4 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`"],
        ),
        (
            "FROM scratch\n# check=experimental=InvalidDefinitionDescription\n# bar\nARG foo",
            &["4 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`"],
        ),
        (
            "# check=skip=all;experimental=all\n# bar\nARG foo\nFROM scratch as b",
            &["3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`"],
        ),
    ]);
}

#[test]
fn commands() {
    let shell = |keyword: &str, line: u32| {
        format!(
            "{line} JSONArgsRecommended: JSON arguments recommended for {keyword} to prevent unintended behavior related to OS signals"
        )
    };
    let twice = |keyword: &str, line: u32| {
        format!(
            "{line} MultipleInstructionsDisallowed: Multiple {keyword} instructions should not be used in the same stage because only the last one will be used"
        )
    };
    table(&[
        ("FROM scratch\nCMD a", &[&shell("CMD", 2)]),
        ("from scratch\nentrypoint a", &[&shell("entrypoint", 2)]),
        ("FROM scratch\nSHELL [\"a\"]\nCMD a", &[]),
        ("FROM scratch AS a\nSHELL [\"a\"]\nFROM a\nENTRYPOINT a", &[]),
        // a shell that the base image chose is chosen as well
        ("FROM python:3\nCMD a", &[]),
        ("FROM scratch\nHEALTHCHECK CMD a\nRUN a", &[]),
        (
            "FROM scratch\nENTRYPOINT [\"a\"]\nENTRYPOINT [\"b\"]\nCMD [\"a\"]\nCOPY <<E /a\nE\nCMD [\"b\"]\nHEALTHCHECK CMD a\nHEALTHCHECK NONE",
            &[&twice("ENTRYPOINT", 2), &twice("CMD", 4), &twice("HEALTHCHECK", 8)],
        ),
        ("FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]", &[]),
    ]);
}

#[test]
fn variables() {
    table(&[
        ("FROM scratch\nARG foo\nCOPY a${foo} .", &[]),
        ("FROM scratch AS b\nARG foo=a\nFROM b\nCOPY $foo .", &[]),
        ("FROM alpine\nRUN echo $foo", &[]),
        ("FROM alpine\nCOPY $foo .\nARG foo=a", &["2 UndefinedVar: Usage of undefined variable '$foo'"]),
        (
            "FROM alpine\nARG DIR_BINARIES=1\nARG DIR_ASSETS=2\nCOPY $DIR_ASSET .",
            &["4 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"],
        ),
        (
            "FROM alpine\nENV PATH=$PAHT:/x",
            &["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"],
        ),
        ("FROM scratch\nENV PATH=$PATH:/x", &[]),
        ("FROM python:3\nARG VERSION=$PYTHON_VERSION", &[]),
        ("FROM scratch\nARG VERSION=$foo", &["2 UndefinedVar: Usage of undefined variable '$foo'"]),
        (
            "FROM scratch\nUSER $a\nWORKDIR /$b\nLABEL x=$c",
            &[
                "2 UndefinedVar: Usage of undefined variable '$a'",
                "3 UndefinedVar: Usage of undefined variable '$b'",
                "4 UndefinedVar: Usage of undefined variable '$c'",
            ],
        ),
        ("FROM scratch\nCOPY <<E <<'F' /x/\n$a\nE\n$b\nF", &["2 UndefinedVar: Usage of undefined variable '$a'"]),
        ("FROM alpine\nRUN --mount=type=cache,target=/x$a x", &["2 UndefinedVar: Usage of undefined variable '$a'"]),
        ("FROM scratch\nCMD [\"$a\"]\nONBUILD COPY $b .", &[]),
    ]);
    // a build looks at what the target needs only
    let source = "FROM scratch AS a\nCOPY $foo .\nFROM scratch\nCOPY $bar .";
    let (found, _) = buildkit(source, &options(), &[], Mode::Build);
    assert_eq!(found, ["4 UndefinedVar: Usage of undefined variable '$bar'"]);
    let (found, _) = buildkit(source, &options(), &[], Mode::Check);
    assert_eq!(found.len(), 2);
    let target = Options { target: Some("a".into()), ..options() };
    let (found, _) = buildkit(source, &target, &[], Mode::Check);
    assert_eq!(found, ["2 UndefinedVar: Usage of undefined variable '$foo'"]);
}

#[test]
fn pairs_and_paths() {
    let secret = |line: u32, what: &str| {
        format!("{line} SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data ({what})")
    };
    table(&[
        (
            "FROM scratch\nENV a b\nLABEL a b\nenv c=d",
            &[
                "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" format",
                "3 LegacyKeyValueFormat: \"LABEL key=value\" should be used instead of legacy \"LABEL key value\" format",
                "4 ConsistentInstructionCasing: Command 'env' should match the case of the command majority (uppercase)",
            ],
        ),
        (
            "FROM scratch\nWORKDIR app/",
            &["2 WorkdirRelativePath: Relative workdir \"app/\" can have unexpected results if the base image changes"],
        ),
        ("FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR b", &[]),
        // the first one only: whoever mends that mends all
        (
            "FROM scratch\nWORKDIR a\nWORKDIR b",
            &["2 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base image changes"],
        ),
        ("FROM scratch\nENV D=/x\nWORKDIR $D", &[]),
        (
            "FROM scratch\nARG SECRET_PASSPHRASE\nENV SUPER_Secret=foo\nENV password=bar secret=baz\nARG super_duper_secret_token=foo auth=bar\nENV git_key= sunflower=1\nENV PUBLIC_KEY=1\nARG public_token\nENV TOKEN_FILE=1 KEY_VERSION=2\nENV KEYS=1 TOKENIZER=2",
            &[
                &secret(2, "ARG \"SECRET_PASSPHRASE\""),
                &secret(3, "ENV \"SUPER_Secret\""),
                &secret(4, "ENV \"password\""),
                &secret(4, "ENV \"secret\""),
                &secret(5, "ARG \"auth\""),
                &secret(5, "ARG \"super_duper_secret_token\""),
                &secret(6, "ENV \"git_key\""),
            ],
        ),
        (
            "FROM scratch\n# check=skip=SecretsUsedInArgOrEnv // it is none\nARG TOKEN\nARG PASSWORD",
            &[&secret(4, "ARG \"PASSWORD\"")],
        ),
        (
            "FROM scratch\nEXPOSE 80/TcP 81/tcp 82/UDP",
            &[
                "2 ExposeProtoCasing: Defined protocol '80/TcP' in EXPOSE instruction should be lowercase",
                "2 ExposeProtoCasing: Defined protocol '82/UDP' in EXPOSE instruction should be lowercase",
            ],
        ),
        (
            "FROM scratch\nARG P=127.0.0.1:80\nEXPOSE $P:80 [::1]:8080:81 5000:5000 :90",
            &[
                "3 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
                "3 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '5000:5000'",
                "3 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]:8080:81'",
            ],
        ),
    ]);
}

#[test]
fn from() {
    table(&[
        ("ARG base=scratch\nFROM $base", &[]),
        ("FROM --platform=$BUILDPLATFORM scratch", &[]),
        ("ARG DEBUG\nFROM scratch${DEBUG}", &[]),
        ("ARG DEBUG\nFROM scra${DEBUG:-tch}", &[]),
        ("ARG DEBUG=\"\"\nFROM scratch${DEBUG-@bogus}", &[]),
        (
            "ARG tag=latest\nFROM busybox:${tag}${version}",
            &["2 UndefinedArgInFrom: FROM argument 'version' is not declared"],
        ),
        (
            "FROM --platform=$TARGETPLATFORM scratch",
            &[
                "1 RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
            ],
        ),
        (
            "FROM --platform=${TARGETPLATFORM} scratch",
            &[
                "1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the default behavior",
            ],
        ),
        ("FROM --platform=$TARGETOS/$TARGETARCH scratch", &[]),
        (
            "FROM --platform=linux/amd64 scratch",
            &["1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/amd64\""],
        ),
        ("FROM --platform=linux/amd64 scratch AS my_amd64_stage", &[]),
        ("FROM --platform=linux/amd64 scratch AS linux", &[]),
        // of a base that is no image's name, even without any ARG
        (
            "FROM scratch AS Base\nFROM Base",
            &[
                "1 StageNameCasing: Stage name 'Base' should be lowercase",
                "2 InvalidDefaultArgInFrom: Default value for ARG Base results in empty or invalid base image name",
            ],
        ),
    ]);
    failing(
        "FROM --platform=$BULIDPLATFORM scratch",
        &options(),
        &["1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"],
        "empty platform value from expression $BULIDPLATFORM",
    );
    failing(
        "ARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} busybox",
        &options(),
        &["2 UndefinedArgInFrom: FROM argument 'MYARCH' is not declared (did you mean MY_ARCH?)"],
        "failed to parse platform linux/",
    );
    let invalid = |base: &str| {
        format!("2 InvalidDefaultArgInFrom: Default value for ARG {base} results in empty or invalid base image name")
    };
    for (source, args, expected) in [
        ("ARG V\nFROM busybox:$V", ("V", "latest"), Some("busybox:$V")),
        ("ARG I\nFROM $I", ("I", "busybox"), Some("$I")),
        ("ARG S=\"box:\"\nFROM busy${S}", ("S", "box:latest"), Some("busy${S}")),
        ("ARG V=\"latest\"\nFROM busybox:${V}", ("V", "latest"), None),
        ("ARG V\nFROM busybox${V}", ("V", ":latest"), None),
    ] {
        let (found, error) = buildkit(source, &with_args(&[args]), &[], Mode::Check);
        assert_eq!((found, error), (expected.into_iter().map(invalid).collect(), None), "{source}");
    }
}

#[test]
fn a_base_for_another_platform() {
    let arm = routerpack_graph::Platform::new("linux", "arm64", "");
    let options = Options { platform: Some(arm), ..options() };
    for (source, line) in [
        ("FROM alpine AS a\nFROM scratch\nCOPY --from=a /a /", 1),
        // The comment above has no say.
        ("# x\n\n# check=skip=InvalidBaseImagePlatform\nFROM alpine", 4),
    ] {
        let (found, _) = buildkit(source, &options, &[], Mode::Build);
        let expected = "InvalidBaseImagePlatform: Base image alpine was pulled with platform \"linux/amd64\", expected \"linux/arm64\" for current build";
        assert_eq!(found, [format!("{line} {expected}")], "{source}");
    }
    let (found, _) = buildkit("# check=skip=InvalidBaseImagePlatform\nFROM alpine", &options, &[], Mode::Build);
    assert_eq!(found, [""; 0]);
}

#[test]
fn ignored_sources() {
    for (source, ignored, expected) in [
        (
            "FROM scratch\nCOPY ./Dockerfile .\nADD Dockerfile /x\nCOPY other /y",
            "Dockerfile",
            vec![
                "2 CopyIgnoredFile: Attempting to Copy file \"Dockerfile\" that is excluded by .dockerignore",
                "3 CopyIgnoredFile: Attempting to Add file \"Dockerfile\" that is excluded by .dockerignore",
            ],
        ),
        ("FROM scratch AS base\nCOPY a /foobar\nFROM base\nCOPY --from=base /foobar foobar /b/\n", "foobar", vec![]),
        ("FROM scratch\nADD https://x.test/foobar /\nCOPY <<foobar /\nfoobar", "foobar", vec![]),
        ("# check=skip=CopyIgnoredFile\nFROM scratch\nCOPY a .", "a", vec![]),
    ] {
        let (found, _) = buildkit(source, &options(), &[ignored], Mode::Check);
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn choices() {
    let as_casing = "2 FromAsCasing: 'as' and 'FROM' keywords' casing do not match";
    let body = "FROM scratch as base\ncopy a .\n";
    let file = |check: &str| format!("#check={check}\n{body}");
    table(&[
        (&file("skip=all"), &[]),
        (&file("skip=all;error=true"), &[]),
        (&file("skip=ConsistentInstructionCasing,FromAsCasing"), &[]),
        (&file("skip=ConsistentInstructionCasing,FromAsCasing;error=true"), &[]),
        (&file("skip=ConsistentInstructionCasing"), &[as_casing]),
        // names are case-sensitive
        (
            &file("skip=consistentInstructionCasing,FromAsCasing"),
            &[
                "3 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)",
            ],
        ),
        // what stands behind a blank is a reason
        (&file("skip=ConsistentInstructionCasing // ,FromAsCasing"), &[as_casing]),
    ]);
    let violation = "lint violation found for rules: FromAsCasing";
    failing(&file("skip=ConsistentInstructionCasing;error=true"), &options(), &[as_casing], violation);
    let argument = |value: &str| with_args(&[("BUILDKIT_DOCKERFILE_CHECK", value)]);
    failing(&file("skip=all"), &argument("skip=ConsistentInstructionCasing;error=true"), &[as_casing], violation);
    assert_eq!(buildkit(&file("error=true"), &argument("skip=all"), &[], Mode::Build), (vec![], None));
    failing(&file("foo=1"), &options(), &[], "failed to parse check options: invalid check option \"foo\"");
    failing(
        &file("error=maybe"),
        &options(),
        &[],
        "failed to parse check options: failed to parse check option \"error=maybe\": it is neither true nor false",
    );
}

#[test]
fn findings_come_before_the_error() {
    failing(
        "FROM scratch AS Bad\nMAINTAINER me\nBADCMD\nFROM scratch AS Worse",
        &options(),
        &[
            "1 StageNameCasing: Stage name 'Bad' should be lowercase",
            "2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label",
        ],
        "unknown instruction: BADCMD",
    );
    failing(
        "FROM scratch\nCOPY $a .\nEXPOSE x",
        &options(),
        &["2 UndefinedVar: Usage of undefined variable '$a'"],
        "invalid containerPort: x",
    );
}
