//! The cases that go another way here than in their suite, each with its reason.

use super::workshop::Built;

/// A case that goes another way.
pub struct Deviation {
    /// Its name.
    pub id: &'static str,
    instead: Instead,
    /// The reason.
    why: &'static str,
}

/// What comes of a case here.
enum Instead {
    /// It fails, with this text on standard error.
    Fails(&'static str),
    /// It works, though not with what the suite expects of it.
    Works,
}

impl Deviation {
    /// None if it came like that.
    pub fn check(&self, built: &Built) -> Option<String> {
        let problem = match self.instead {
            Instead::Fails(text) => built.fails_with(&[text]),
            Instead::Works => built.holds(&[]),
        };
        problem.map(|problem| format!("{problem}\nIt was to go another way than in its suite: {}", self.why))
    }
}

const fn fails(id: &'static str, text: &'static str, why: &'static str) -> Deviation {
    Deviation { id, instead: Instead::Fails(text), why }
}

const fn works(id: &'static str, why: &'static str) -> Deviation {
    Deviation { id, instead: Instead::Works, why }
}

/// The cases that are not built, and why.
pub const NOT_BUILT: &[(&str, &str)] = &[("bud/long-sleep/Dockerfile", "it does nothing but sleep for five minutes")];

/// Buildah builds these with Docker's first builder, mostly.
pub const BUILDAH_CONFORMANCE: &[Deviation] = &[
    fails("buildah-conf/000", "`/bin/bash` is not in the root", "the base that stands in hasn't this program or file"),
    fails("buildah-conf/030", "can't reach github.com", "it fetches from the web"),
    fails("buildah-conf/036", "/mountdir/subdir", "Buildah's --volume of a build, which BuildKit hasn't"),
    fails("buildah-conf/039", "`subdir` is not there", "the context is made by the test's own code"),
    fails("buildah-conf/040", "`subdir` is not there", "the context is made by the test's own code"),
    fails("buildah-conf/046", "`archive.tar` is not there", "the context is made by the test's own code"),
    works(
        "buildah-conf/052",
        "a wildcard without a match is an error for Docker's first builder only, not for BuildKit",
    ),
    works("buildah-conf/055", "BuildKit keeps a directory in which an exception of the ignore file matches"),
    fails(
        "buildah-conf/128",
        "is outside of the archive",
        "BuildKit refuses relative links in an archive that leave the destination",
    ),
    fails(
        "buildah-conf/160",
        "cannot replace directory /maybe-directory",
        "BuildKit refuses it too; Docker's first builder replaced",
    ),
    fails("buildah-conf/163", "`daemon`", "the base that stands in hasn't this program or file"),
    fails("buildah-conf/166", "/etc/os-release", "the base that stands in hasn't this program or file"),
    fails("buildah-conf/171", "/etc/nsswitch.conf", "the base that stands in hasn't this program or file"),
    fails(
        "buildah-conf/172",
        "cannot resolve quay.io/libpod/busybox@sha256",
        "the base is named by a digest that depends on the machine",
    ),
    fails("buildah-conf/180", "`true` is not there", "the data hasn't this file"),
    fails("buildah-conf/181", "%q", "the base that stands in hasn't this program or file"),
];

/// Buildah's own dialect, and what its tests prepare before they build.
pub const BUILDAH_BUD: &[Deviation] = &[
    fails("bud/add-checksum/Containerfile", "can't reach raw.githubusercontent.com", "it fetches from the web"),
    fails(
        "bud/add-checksum/Containerfile.bad",
        "missing a value on flag: --checksum",
        "a flag without its value, which Buildah refuses too",
    ),
    fails(
        "bud/add-chmod/Dockerfile.bad",
        "missing a value on flag: --chmod",
        "a flag without its value, which Buildah refuses too",
    ),
    fails(
        "bud/add-run-dir/Dockerfile",
        "touch: /run/hello: No such file or directory",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/arg-scope/Containerfile.copy-from-arg",
        "variable expansion is not supported for --from",
        "Buildah expands variables in --from; BuildKit refuses",
    ),
    fails(
        "bud/arg-scope/Containerfile.stage-overrides-header-copy-from",
        "variable expansion is not supported for --from",
        "Buildah expands variables in --from; BuildKit refuses",
    ),
    fails(
        "bud/base-with-arg/Containerfile",
        "invalid name for build stage",
        "Buildah allows slashes in names of stages",
    ),
    fails(
        "bud/buildkit-mount-from/Dockerfilebindfromrelative",
        "cannot resolve buildkitbaserelative",
        "its base is built by another test",
    ),
    fails(
        "bud/buildkit-mount-from/Dockerfilecachefromimage",
        "cannot resolve buildkitbase",
        "its base is built by another test",
    ),
    fails(
        "bud/buildkit-mount/Dockerfile",
        "invalid field 'z' must be a key=value pair",
        "SELinux's `z`, which only Buildah knows",
    ),
    fails(
        "bud/buildkit-mount/Dockerfile2",
        "invalid field 'z' must be a key=value pair",
        "SELinux's `z`, which only Buildah knows",
    ),
    fails(
        "bud/buildkit-mount/Dockerfile3",
        "invalid field 'z' must be a key=value pair",
        "SELinux's `z`, which only Buildah knows",
    ),
    fails(
        "bud/buildkit-mount/Dockerfile4",
        "invalid field 'z' must be a key=value pair",
        "SELinux's `z`, which only Buildah knows",
    ),
    fails(
        "bud/buildkit-mount/Dockerfilecachereadwithoutz",
        "cat: can't open '/test2/world': No such file or directory",
        "another case has filled this cache",
    ),
    fails(
        "bud/buildkit-mount/Dockerfilemultiplemounts",
        "invalid field 'z' must be a key=value pair",
        "SELinux's `z`, which only Buildah knows",
    ),
    fails("bud/cache-chown/Dockerfile.url2", "can't reach 0.0.0.0", "it fetches from the web"),
    fails(
        "bud/cdi/Dockerfile",
        "cp: can't stat '/dev/containers-cdi.yaml': No such file or directory",
        "a device of Buildah's own test",
    ),
    fails(
        "bud/containerfile/Containerfile.in",
        "no build stage in current context",
        "a file that the C preprocessor makes whole",
    ),
    fails(
        "bud/containerignore/Dockerfile",
        "`subdir` is not there to be copied",
        "Buildah reads .containerignore as well",
    ),
    fails("bud/copy-archive/Containerfile", "`test.tar.xz` is not there to be copied", "the data hasn't this file"),
    fails(
        "bud/copy-chmod/Dockerfile.bad",
        "missing a value on flag: --chmod",
        "a flag without its value, which Buildah refuses too",
    ),
    fails(
        "bud/copy-chown/Dockerfile.bad",
        "missing a value on flag: --chown",
        "a flag without its value, which Buildah refuses too",
    ),
    fails(
        "bud/copy-from-stage-scoped-arg/Containerfile",
        "variable expansion is not supported for --from",
        "Buildah expands variables in --from; BuildKit refuses",
    ),
    fails(
        "bud/copy-from-stage-scoped-arg/Containerfile.multi-copy-arg-override",
        "variable expansion is not supported for --from",
        "Buildah expands variables in --from; BuildKit refuses",
    ),
    fails(
        "bud/copy-from/Dockerfile2.bad",
        "circular dependency detected on stage: build",
        "Buildah expects this failure too",
    ),
    fails(
        "bud/copy-multistage-paths/Dockerfile.invalid_from",
        "missing a value on flag: --from",
        "a flag without its value, which Buildah refuses too",
    ),
    fails(
        "bud/copy-multistage-paths/Dockerfile.relative",
        "`bin/bash` is not there to be copied",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/dest-symlink/Dockerfile",
        "mkdir: can't create directory '/usr/local/hbase': No such file or directory",
        "the base that stands in hasn't this program or file",
    ),
    fails("bud/env/Dockerfile.env-from-image", "cannot resolve env-from-image", "its base is built by another test"),
    fails(
        "bud/env/Dockerfile.env-precedence",
        "cannot resolve 0",
        "Buildah takes a number for a stage; BuildKit for an image",
    ),
    fails("bud/from-base/Containerfile", "cannot resolve base", "its base is built by another test"),
    fails(
        "bud/from-multiple-files/Dockerfile2.nofrom",
        "no build stage in current context",
        "another file stands before it",
    ),
    fails(
        "bud/from-with-arg/Containerfile",
        "variable expansion is not supported for --from",
        "Buildah expands variables in --from; BuildKit refuses",
    ),
    fails(
        "bud/inline-network/Dockerfile2",
        "wget: bad address 'google.com'",
        "the step has no network, and Buildah expects this failure too",
    ),
    fails("bud/inline-network/Dockerfile3", "invalid network mode \"fake\"", "Buildah expects this failure too"),
    fails(
        "bud/multi-stage-only-base/Containerfile3",
        "cannot resolve localhost/parent-one",
        "its base is built by another test",
    ),
    fails(
        "bud/multiarch/Containerfile.reset-platform",
        "failed to parse platform linux/",
        "the data hasn't the build arguments",
    ),
    fails(
        "bud/multiarch/Dockerfile",
        "cp: can't stat '/etc/apk/arch': No such file or directory",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/multiarch/Dockerfile.fail-multistage",
        "base name ($SAFEIMAGE) should not be blank",
        "the data hasn't the build arguments",
    ),
    fails(
        "bud/multiarch/Dockerfile.no-run",
        "base name ($SAFEIMAGE) should not be blank",
        "the data hasn't the build arguments",
    ),
    fails(
        "bud/no-history/Dockerfile",
        "cannot resolve fakeregistry.podman.invalid/notreal",
        "Buildah doesn't look at a stage that is not used for its result; no registry has this image",
    ),
    fails("bud/onbuild/Dockerfile1", "cannot resolve onbuild", "its base is built by another test"),
    fails(
        "bud/run-mounts/Dockerfile.secret-mode",
        "stat: can't stat '/run/secrets/mysecret': No such file or directory",
        "the data hasn't the secrets that the build is given",
    ),
    fails(
        "bud/run-mounts/Dockerfile.secret-options",
        "ls: /mysecret: No such file or directory",
        "the data hasn't the secrets that the build is given",
    ),
    fails(
        "bud/run-mounts/Dockerfile.secret-required-false",
        "cat: can't open '/run/secrets/mysecret': No such file or directory",
        "the data hasn't the secrets that the build is given",
    ),
    fails(
        "bud/run-mounts/Dockerfile.secret-required-wo-value",
        "the step requires the secret `mysecret`",
        "the data hasn't the secrets that the build is given",
    ),
    fails(
        "bud/save-stages/Dockerfile.chained-two-build-stages-no-aliases",
        "cannot resolve 0",
        "Buildah takes a number for a stage; BuildKit for an image",
    ),
    fails(
        "bud/save-stages/Dockerfile.empty-intermediate-build-stage",
        "`etc/os-release` is not there to be copied",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/secret-relative/Dockerfile",
        "cat: can't open '/test/secret1.txt': No such file or directory",
        "the data hasn't the secrets that the build is given",
    ),
    fails(
        "bud/shell/Dockerfile.build-shell-custom",
        "`/bin/bash` is not in the root filesystem (searched PATH=not used)",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/symlink/Dockerfile",
        "/bin/sh: can't create /data/log/blah.txt: nonexistent directory",
        "Buildah makes the directory of a VOLUME when it meets it; BuildKit doesn't",
    ),
    fails(
        "bud/symlink/Dockerfile.multiple-symlinks",
        "/bin/sh: can't create /data/log/blah.txt: nonexistent directory",
        "Buildah makes the directory of a VOLUME when it meets it; BuildKit doesn't",
    ),
    fails("bud/use-layers/Dockerfile.3", "`mount` is not there to be copied", "the data hasn't this file"),
    fails(
        "bud/use-layers/Dockerfile.dangling-symlink",
        "`blah` is not there to be copied",
        "the data hasn't this file",
    ),
    fails("bud/use-layers/Dockerfile.multistage-copy", "is not there to be copied", "the data hasn't this file"),
    fails(
        "bud/use-layers/Dockerfile.non-existent-registry",
        "cannot resolve non-existent-registry.com/alpine",
        "Buildah expects this failure too",
    ),
    fails(
        "bud/volume-ownership/Dockerfile",
        "/bin/sh: adduser: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "bud/with-arg/Dockerfilefromarg",
        "base name (${app_type}) should not be blank",
        "the data hasn't the build arguments",
    ),
    fails(
        "bud/workdir-user/Dockerfile",
        "/bin/sh: adduser: not found",
        "the base that stands in hasn't this program or file",
    ),
];

/// Kaniko's own images and downloads.
pub const KANIKO: &[Deviation] = &[
    fails(
        "kaniko/Dockerfile_test_add_chown_intermediate_dirs",
        "adduser: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "kaniko/Dockerfile_test_issue_684",
        "apt-get: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails("kaniko/1097", "groupadd: not found", "the base that stands in hasn't this program or file"),
    fails("kaniko/Dockerfile_test_add", "can't reach github.com", "it fetches from the web"),
    fails("kaniko/Dockerfile_test_add_404", "can't reach httpstat.us", "it fetches from the web"),
    fails(
        "kaniko/Dockerfile_test_issue_1039",
        "cannot resolve registry.access",
        "its base is one that busybox can't stand in for",
    ),
    fails(
        "kaniko/Dockerfile_test_issue_1837",
        "cannot resolve registry.access",
        "its base is one that busybox can't stand in for",
    ),
    fails(
        "kaniko/Dockerfile_test_onbuild",
        "cannot resolve gcr.io/kaniko-test/onbuild-base",
        "its base is built by another case",
    ),
    fails("kaniko/Dockerfile_test_parent_dir_perms", "can't reach raw.githubusercontent", "it fetches from the web"),
    fails(
        "kaniko/Dockerfile_test_user_run",
        "useradd: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "kaniko/Dockerfile_test_user_home",
        "groupadd: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "kaniko/Dockerfile_test_workdir_with_user",
        "groupadd: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails("kaniko-ctx/issue-2075", "`top1` is not there", "the data hasn't this file"),
    fails("kaniko-ctx/issue-57", "can't reach raw.githubusercontent", "it fetches from the web"),
];

/// What the data has only in part, or what is said in other words.
pub const BUILDKIT: &[Deviation] = &[
    fails(
        "dockerfile_add_test.go/testDockerfileAddChownExpand",
        "no `nobody`",
        "the base that stands in hasn't this program or file",
    ),
    works(
        "dockerfile_args_test.go/testBuiltinArgs",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    works(
        "dockerfile_args_test.go/testBuiltinArgs#2",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    works(
        "dockerfile_args_test.go/testBuiltinArgs#3",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    works(
        "dockerfile_cache_test.go/testCacheMountModeNoCache#3",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    works("dockerfile_cache_test.go/testWildcardRenameCache#2", "the test removes the source in between"),
    fails("dockerfile_client_test.go/testFrontendEvaluate", "`badfile` is not there", "said in other words"),
    fails("dockerfile_client_test.go/testFrontendEvaluate#2", "`badfile` is not there", "said in other words"),
    fails(
        "dockerfile_client_test.go/testFrontendEvaluate#3",
        "`badfile` is not there",
        "the test asks the gateway not to solve",
    ),
    fails(
        "dockerfile_client_test.go/testFrontendInputs",
        "`foo` is not there",
        "the context is the result of another build",
    ),
    fails(
        "dockerfile_cmd_test.go/testCmdShell#2",
        "cannot resolve docker.io/moby/cmdoverridetest",
        "its base is the result of another build",
    ),
    fails(
        "dockerfile_copy_test.go/testDockerfileCopyFromArgs",
        "define a new stage with FROM using ARG from global scope as a workaround",
        "said in other words",
    ),
    fails(
        "dockerfile_copy_test.go/testCopyChownCreateDest",
        "adduser: not found",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "dockerfile_core_test.go/testUserAdditionalGids",
        "10(wheel)",
        "the base that stands in hasn't this program or file",
    ),
    fails(
        "dockerfile_image_test.go/testPullScratch#2",
        "cannot resolve docker.io/moby/testpullscratch",
        "its base is the result of another build",
    ),
    fails(
        "dockerfile_image_test.go/testPullScratch#3",
        "cannot resolve docker.io/moby/testpullscratch",
        "its base is the result of another build",
    ),
    fails("dockerfile_mount_test.go/testMountInvalid", "did you mean --mount?", "said in other words"),
    fails("dockerfile_mount_test.go/testMountInvalid#3", "unsupported mount type \"tmp\"", "said in other words"),
    fails(
        "dockerfile_namedcontext_test.go/testNamedInputContext",
        "cannot resolve base",
        "its base is the result of another build",
    ),
    works(
        "dockerfile_platform_test.go/testPlatformArgsExplicit",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    fails(
        "dockerfile_provenance_test.go/testFrontendDeduplicateSources",
        "cannot resolve linked",
        "its base is the result of another build",
    ),
    fails(
        "dockerfile_runnetwork_test.go/testRunDefaultNetwork",
        "eth0",
        "a build here has the machine's network, not one of its own",
    ),
    fails(
        "dockerfile_rundevice_test.go/testDeviceRunEnv",
        "RUN --device isn't supported",
        "there are no devices of that kind",
    ),
    fails(
        "dockerfile_secrets_test.go/testSecretFileParams",
        "/mysecret",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    fails(
        "dockerfile_secrets_test.go/testSecretRequiredWithoutValue",
        "requires the secret `mysecret`",
        "said in other words",
    ),
    fails(
        "dockerfile_secrets_test.go/testSecretAsEnvironWithFileMount",
        "SECRET_ENV",
        "the data hasn't the build's options, which are an expression of the test",
    ),
    works(
        "dockerfile_runsecurity_test.go/testRunSecurityDefault",
        "the test expects the failure of its other half, with --security=insecure",
    ),
    fails(
        "dockerfile_workdir_test.go/testWorkdirUser",
        "adduser: not found",
        "the base that stands in hasn't this program or file",
    ),
];
