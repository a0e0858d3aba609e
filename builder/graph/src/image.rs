//! The image config: the JSON that a manifest calls `config`.
//!
//! Fields, order and omission are those of BuildKit's `DockerOCIImage` (moby/docker-image-spec,
//! `specs-go/v1/image.go`, which embeds the OCI image-spec's `Image`), so that the bytes equal what
//! BuildKit writes. `oci-spec`'s type lacks Docker's Healthcheck, OnBuild and Shell.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::Digest;
use crate::platform::Platform;

/// Go writes an absent list as `null`; both read as empty.
fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// An image's config file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// RFC 3339 time of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// From MAINTAINER.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// `amd64`, `arm64`, `arm` …
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// Windows only.
    #[serde(default, rename = "os.version", skip_serializing_if = "String::is_empty")]
    pub os_version: String,
    /// Windows only.
    #[serde(
        default,
        rename = "os.features",
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub os_features: Vec<String>,
    /// `v5`, `v7`, `v8` …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// What a container starts with.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: RunConfig,
    /// The layers, by the digests of their uncompressed bytes.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
    /// One line an instruction.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
}

impl ImageConfig {
    /// Reads a config file; members that BuildKit doesn't know are dropped, as it drops them.
    pub fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The file's text, byte for byte as BuildKit writes it.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        crate::json::to_go_json(self)
    }

    /// What the image runs on, as far as it says so.
    pub fn platform(&self) -> Option<Platform> {
        let known = !self.os.is_empty() && !self.architecture.is_empty();
        known.then(|| Platform::new(&self.os, &self.architecture, &self.variant))
    }
}

/// The runtime part: the `config` member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    /// `user[:group]`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Keys such as `80/tcp`; values are empty objects.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// `KEY=value`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Argv prefix.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub cmd: Vec<String>,
    /// Keys are absolute paths.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub volumes: BTreeMap<String, Empty>,
    /// Absolute path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free-form.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_as_default")]
    pub labels: BTreeMap<String, String>,
    /// `SIGTERM`, `15` …
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Windows only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub args_escaped: bool,
    /// HEALTHCHECK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Triggers for the builds that start from this image.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub on_build: Vec<String>,
    /// SHELL.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub shell: Vec<String>,
}

/// A member of a Go set, `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// HEALTHCHECK; durations in nanoseconds, 0 = inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", …]`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// For one check.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Grace at the start.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Between two checks during the grace.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row until unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The `rootfs` member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// sha256 of each uncompressed layer, lowest first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".into(), diff_ids: Vec::new() }
    }
}

/// One line of `history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// MAINTAINER.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// `buildkit.dockerfile.v0`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// No layer belongs to this line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_written_as_it_is_read() {
        let text = concat!(
            r#"{"created":"2024-01-02T03:04:05Z","architecture":"arm","os":"linux","variant":"v7","#,
            r#""config":{"User":"1","ExposedPorts":{"80/tcp":{}},"Env":["PATH=/bin","A=\u003c"],"Entrypoint":["/x"],"#,
            r#""Cmd":["y"],"WorkingDir":"/srv","Labels":{"a":"b"},"Healthcheck":{"Test":["NONE"],"Interval":1},"#,
            r#""OnBuild":["RUN x"],"Shell":["/bin/ash","-c"]},"#,
            r#""rootfs":{"type":"layers","diff_ids":["#,
            r#""sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"#,
            r#""history":[{"created_by":"x","comment":"buildkit.dockerfile.v0","empty_layer":true}]}"#
        );
        let config = ImageConfig::from_json(text.as_bytes()).unwrap();
        assert_eq!(config.to_json().unwrap(), text);
        assert_eq!(config.platform(), Some(Platform::new("linux", "arm", "v7")));
    }

    #[test]
    fn null_and_missing_members_are_empty() {
        let text = r#"{"config":{"Env":null,"Labels":null},"rootfs":null,"history":null,"moby.x":1}"#;
        assert_eq!(ImageConfig::from_json(text.as_bytes()).unwrap(), ImageConfig::default());
        assert!(ImageConfig::from_json(b"\"config\"").is_err());
    }
}
