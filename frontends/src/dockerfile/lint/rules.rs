//! The rules, as data. Names, descriptions and links are BuildKit's (`frontend/dockerfile/linter/ruleset.go`,
//! dockerfile/1.26), so that `# check=skip=…` and whoever reads the JSON mean the same. Those for routers are our
//! own; how sure anybody is of each stands beside the rules for archives, where `routerpack explain` finds it.

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What `# check=skip=` and `experimental=` call it.
    pub name: &'static str,
    /// What it wants, in one sentence.
    pub description: &'static str,
    /// The last part of its page's address; empty: it has no page.
    page: &'static str,
    /// It is silent unless it is asked for.
    pub experimental: bool,
}

impl Rule {
    /// The address of its page; empty when it has none.
    pub fn url(&self) -> String {
        match self.page {
            "" => String::new(),
            page => format!("https://docs.docker.com/go/dockerfile/rule/{page}/"),
        }
    }

    /// Whether it is about routers, and not one of BuildKit's.
    pub fn is_for_routers(&self) -> bool {
        self.name.starts_with("Router")
    }
}

macro_rules! rules {
    ($($constant:ident $name:literal $page:literal $description:literal $experimental:literal)*) => {
        $(
            pub(in crate::dockerfile) const $constant: Rule = Rule {
                name: $name,
                description: $description,
                page: $page,
                experimental: $experimental,
            };
        )*
        /// All rules: BuildKit's, then those for routers.
        pub const ALL: &[Rule] = &[$($constant),*];
    };
}

rules! {
    STAGE_NAME_CASING "StageNameCasing" "stage-name-casing" "Stage names should be lowercase" false
    FROM_AS_CASING "FromAsCasing" "from-as-casing"
        "The 'as' keyword should match the case of the 'from' keyword" false
    NO_EMPTY_CONTINUATION "NoEmptyContinuation" "no-empty-continuation"
        "Empty continuation lines will become errors in a future release" false
    CONSISTENT_INSTRUCTION_CASING "ConsistentInstructionCasing" "consistent-instruction-casing"
        "All commands within the Dockerfile should use the same casing (either upper or lower)" false
    DUPLICATE_STAGE_NAME "DuplicateStageName" "duplicate-stage-name" "Stage names should be unique" false
    RESERVED_STAGE_NAME "ReservedStageName" "reserved-stage-name"
        "Reserved words should not be used as stage names" false
    JSON_ARGS_RECOMMENDED "JSONArgsRecommended" "json-args-recommended"
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals" false
    MAINTAINER_DEPRECATED "MaintainerDeprecated" "maintainer-deprecated"
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author" false
    UNDEFINED_ARG_IN_FROM "UndefinedArgInFrom" "undefined-arg-in-from" "FROM command must use declared ARGs" false
    WORKDIR_RELATIVE_PATH "WorkdirRelativePath" "workdir-relative-path"
        "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes" false
    UNDEFINED_VAR "UndefinedVar" "undefined-var" "Variables should be defined before their use" false
    MULTIPLE_INSTRUCTIONS_DISALLOWED "MultipleInstructionsDisallowed" "multiple-instructions-disallowed"
        "Multiple instructions of the same type should not be used in the same stage" false
    LEGACY_KEY_VALUE_FORMAT "LegacyKeyValueFormat" "legacy-key-value-format"
        "Legacy key/value format with whitespace separator should not be used" false
    INVALID_BASE_IMAGE_PLATFORM "InvalidBaseImagePlatform" ""
        "Base image platform does not match expected target platform" false
    REDUNDANT_TARGET_PLATFORM "RedundantTargetPlatform" "redundant-target-platform"
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior" false
    SECRETS_USED_IN_ARG_OR_ENV "SecretsUsedInArgOrEnv" "secrets-used-in-arg-or-env"
        "Sensitive data should not be used in the ARG or ENV commands" false
    INVALID_DEFAULT_ARG_IN_FROM "InvalidDefaultArgInFrom" "invalid-default-arg-in-from"
        "Default value for global ARG results in an empty or invalid base image name" false
    FROM_PLATFORM_FLAG_CONST_DISALLOWED "FromPlatformFlagConstDisallowed" "from-platform-flag-const-disallowed"
        "FROM --platform flag should not use a constant value" false
    COPY_IGNORED_FILE "CopyIgnoredFile" "copy-ignored-file"
        "Attempting to Copy file that is excluded by .dockerignore" false
    INVALID_DEFINITION_DESCRIPTION "InvalidDefinitionDescription" "invalid-definition-description"
        "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment." true
    EXPOSE_PROTO_CASING "ExposeProtoCasing" "expose-proto-casing"
        "Protocol in EXPOSE instruction should be lowercase" false
    EXPOSE_INVALID_FORMAT "ExposeInvalidFormat" "expose-invalid-format"
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release" false
    ROUTER_HARDCODED_ETH0 "RouterHardcodedEth0" "" "Nothing should count on an interface eth0" false
    ROUTER_NO_COMMAND "RouterNoCommand" "" "The image should have an ENTRYPOINT or a CMD" false
    ROUTER_VOLUME_NEEDS_MOUNT "RouterVolumeNeedsMount" "" "A VOLUME needs a mount on the router" false
    ROUTER_EXPOSE_NEEDS_NAT "RouterExposeNeedsNat" "" "A port of EXPOSE needs a dst-nat rule on the router" false
    ROUTER_BASE_LACKS_ARM_V5 "RouterBaseLacksArmV5" "" "The base image of an arm/v5 image should be one for arm/v5" false
    ROUTER_IPTABLES_NFT "RouterIptablesNft" "" "iptables should be its legacy variant" false
    ROUTER_NON_ROOT_MOUNT "RouterNonRootMount" "" "Data in a mount should be written by root" false
    ROUTER_HEALTHCHECK_IGNORED "RouterHealthcheckIgnored" "" "HEALTHCHECK is used by new versions of RouterOS only" false
    ROUTER_TUN_DEVICE_NODE "RouterTunDeviceNode" "" "/dev/net/tun is there and should not be made" false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_complete() {
        assert_eq!(ALL.iter().filter(|rule| !rule.is_for_routers()).count(), 22);
        for rule in ALL {
            assert!(!rule.description.is_empty(), "{}", rule.name);
            assert_eq!(ALL.iter().filter(|other| other.name == rule.name).count(), 1, "{}", rule.name);
            let has_page = !rule.is_for_routers() && rule.name != "InvalidBaseImagePlatform";
            assert_eq!(rule.url().is_empty(), !has_page, "{}", rule.name);
        }
    }
}
