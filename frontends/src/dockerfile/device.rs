//! `RUN --device` (BuildKit: `frontend/dockerfile/instructions/commands_rundevice.go`).

use super::csv::{self, CsvError};
use super::instruction::Device;
use super::mount::parse_bool;

/// A value of `--device` that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum DeviceError {
    #[error("failed to parse csv devices: {0}")]
    Csv(#[from] CsvError),
    #[error("device name already set to {0}")]
    Named(String),
    #[error("invalid field '{0}' must be a key=value pair")]
    Field(String),
    #[error("invalid value for {key}: {value}")]
    Value { key: String, value: String },
    #[error("unexpected key '{key}' in '{field}'")]
    Key { key: String, field: String },
}

impl Device {
    /// Reads `[name=]NAME[,required[=BOOL]]`. A CDI name has a `=` of its own.
    pub fn parse(value: &str) -> Result<Self, DeviceError> {
        let mut device = Self::default();
        for field in csv::fields(value)? {
            let (key, value) = field.pair();
            let (key, field) = (key.to_lowercase(), field.text.clone());
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => {
                    let wrong = || DeviceError::Value { key: key.clone(), value: value.to_owned() };
                    device.required = parse_bool(value).ok_or_else(wrong)?;
                }
                ("name", Some(_)) if !device.name.is_empty() => return Err(DeviceError::Named(device.name)),
                ("name", Some(name)) => device.name = name.to_owned(),
                _ if device.name.is_empty() => device.name = field,
                (_, None) => return Err(DeviceError::Field(field)),
                (_, Some(_)) => return Err(DeviceError::Key { key, field }),
            }
        }
        Ok(device)
    }
}
