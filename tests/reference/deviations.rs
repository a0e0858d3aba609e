//! The cases in which the two differ on purpose, each with its reason.

/// A case in which they differ.
pub struct Deviation {
    /// Its name.
    pub id: &'static str,
    /// What every difference begins with.
    places: &'static [&'static str],
    /// The reason.
    why: &'static str,
}

impl Deviation {
    /// None if they differ there and nowhere else.
    pub fn check(&self, differences: &[String]) -> Option<String> {
        let listed = |difference: &&String| self.places.iter().any(|place| difference.starts_with(place));
        let others: Vec<&str> = differences.iter().filter(|d| !listed(d)).map(String::as_str).collect();
        let unused = self.places.iter().find(|place| !differences.iter().any(|d| d.starts_with(*place)));
        match unused {
            _ if !others.is_empty() => Some(others.join("\n    ")),
            Some(place) => Some(format!("no difference at {place}, which is listed: {}", self.why)),
            None => None,
        }
    }
}

/// The cases that are not built, and why.
pub const NOT_BUILT: &[(&str, &str)] = &[("bud/long-sleep/Dockerfile", "it does nothing but sleep for five minutes")];

/// BuildKit has changed it since; routerpack does as today's does.
const NEWER: &str = "this BuildKit is of dockerfile/1.7: today's does as routerpack does";

/// Of a context's extended attributes.
const CAPABILITIES: &str = "BuildKit gives a context's file its attributes first and its owner then, upon which the kernel takes \
                            its capabilities away; here they come along with the rest";

const fn newer(id: &'static str, places: &'static [&'static str]) -> Deviation {
    Deviation { id, places, why: NEWER }
}

const fn differs(id: &'static str, places: &'static [&'static str], why: &'static str) -> Deviation {
    Deviation { id, places, why }
}

/// The list. A place is the beginning of what a difference is printed as.
pub const LIST: &[Deviation] = &[
    // --- what BuildKit has changed
    newer("own/arg_again", &["config.history[3].created_by", "config.history[4].created_by"]),
    newer("own/chmod_bad", &["only routerpack refuses"]),
    newer("own/chmod_parents", &["/deep", "/dir", "/six"]),
    newer("own/chmod_variable", &["config.history[2].created_by", "/four"]),
    newer("own/chown_tar", &["/tar/"]),
    newer("own/epoch", &["/x"]),
    newer("own/tar_climbs_tar", &["only routerpack refuses"]),
    newer("own/tar_dest_name", &["/several/plain.tar.xz"]),
    newer("own/tar_plain_tar_xz", &["/x/", "hard links of routerpack alone"]),
    newer("own/tar_through_tar", &["only BuildKit refuses"]),
    newer("own/tar_over", &["only BuildKit refuses"]),
    newer("own/tar_symlinked_dest", &["only BuildKit refuses"]),
    newer("own/target_number", &["only BuildKit refuses"]),
    newer("own/target_stage_argument", &["config.config.Labels.stage", "config.history[1].created_by"]),
    newer("buildah-conf/128", &["only routerpack refuses"]),
    newer("bud/cache-chown/Dockerfile.tar1", &["/testfile"]),
    newer("bud/cache-chown/Dockerfile.tar2", &["/testfile"]),
    newer("kaniko/Dockerfile_test_cmd", &["config.config.Entrypoint", "config.history[2].created_by"]),
    newer(
        "kaniko/Dockerfile_test_multistage_args_issue_1911",
        &["config.history[9].created_by", "config.history[10].created_by"],
    ),
    newer("dockerfile_args_test.go/testGlobalArgErrors", &["only routerpack refuses"]),
    newer("dockerfile_args_test.go/testArgDefaultExpansion#3", &["only BuildKit refuses"]),
    newer("dockerfile_args_test.go/testTargetStageNameArg", &["/second"]),
    newer("dockerfile_args_test.go/testTargetStageNameArg#2", &["/second"]),
    newer("dockerfile_copy_test.go/testCopyChmod", &["/footerperm", "/parentperm", "/subparentperm"]),
    newer("dockerfile_core_test.go/testStepNames", &["/out"]),
    newer("own/tar_cut_tar", &["only routerpack refuses"]),
    // --- what is otherwise here on purpose
    differs(
        "own/chown_missing_group",
        &["only routerpack refuses"],
        "BuildKit takes a name that it can't find for root; an owner that the Dockerfile asks for must be there",
    ),
    differs("own/chown_missing_user", &["only routerpack refuses"], "as own/chown_missing_group"),
    differs("dockerfile_mount_test.go/testMountTmpfsSize", &["/tmpfssize"], "it prints all options of a mount"),
    differs("dockerfile_resources_test.go/testShmSize", &["/shmsize"], "it prints all options of a mount"),
    differs(
        "own/network_none",
        &["/net"],
        "a step sees the machine's /sys, read-only: the kernel mounts no other in a user namespace",
    ),
    differs("own/run_nodes", &["only routerpack refuses"], "the kernel makes no device nodes in a user namespace"),
    differs("own/add_all", &["/capable"], CAPABILITIES),
    differs("own/capabilities", &["/capable", "/chowned"], CAPABILITIES),
    differs("own/capabilities_stage", &["/x/moved"], CAPABILITIES),
    differs("own/copy_all", &["/all/capable"], CAPABILITIES),
    differs("own/ignored", &["/x/capable"], CAPABILITIES),
    differs(
        "own/dev_proc",
        &["/mounts"],
        "device nodes are bound one by one, since none can be made in a user namespace",
    ),
    differs(
        "bud/layers-squash/Dockerfile.hardlinks",
        &["hard links of routerpack alone"],
        "BuildKit's layer leaves out the old name of a linked file, which is as it was, and so forgets the link",
    ),
    differs(
        "kaniko/Dockerfile_test_issue_519",
        &["only BuildKit refuses"],
        "names of stages are the same in upper case; BuildKit forgets that after FROM alone",
    ),
];
