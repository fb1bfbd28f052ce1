//! The environment variables that a function sees: Lambda's own, the user's, and nothing of this machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{EmulatorError, Function};

/// Lambda's limit for the user's names and values together, in bytes.
const LIMIT: usize = 4096;

/// What Lambda sets and lets nobody change (`CreateFunction` refuses them).
const RESERVED: [&str; 10] = [
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_METADATA_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];

/// Refuses what Lambda refuses when a function is configured.
///
/// Credentials and the region are reserved on Lambda, where the role gives them; here they come from nowhere else, so
/// they may be given.
pub fn check(user: &BTreeMap<String, String>) -> Result<(), EmulatorError> {
    for (name, value) in user {
        let mut bytes = name.bytes();
        let starts = bytes.next().is_some_and(|first| first.is_ascii_alphabetic());
        if !starts || name.len() < 2 || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(EmulatorError::VariableName { name: name.clone() });
        }
        if value.contains('\0') {
            return Err(EmulatorError::VariableValue { name: name.clone() });
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(EmulatorError::ReservedVariable { name: name.clone() });
        }
    }
    let size = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > LIMIT { Err(EmulatorError::EnvironmentTooLarge { size, limit: LIMIT }) } else { Ok(()) }
}

/// Every variable of the runtime's process, for a zip function on an OS-only runtime.
///
/// Credentials are absent unless the user gives them: there is no role here, and an invented key would only turn "no
/// credentials" into a riddle. Source: the official emulator's `env/environment.go`, and its base images.
pub fn of(function: &Function, api: SocketAddr, metadata_token: &str, log_stream: &str) -> BTreeMap<String, String> {
    let api = api.to_string();
    let memory = function.memory_mb.to_string();
    let log_group = format!("/aws/lambda/{}", function.name);
    let own = [
        ("AWS_DEFAULT_REGION", function.region.as_str()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
        ("AWS_LAMBDA_FUNCTION_NAME", &function.name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", function.initialization.name()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
        ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream),
        ("AWS_LAMBDA_METADATA_API", &api),
        ("AWS_LAMBDA_METADATA_TOKEN", metadata_token),
        ("AWS_LAMBDA_RUNTIME_API", &api),
        ("AWS_REGION", &function.region),
        ("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR"),
        ("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000"),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("LAMBDA_TASK_ROOT", "/var/task"),
        ("LANG", "en_US.UTF-8"),
        (
            "LD_LIBRARY_PATH",
            "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        ),
        ("PATH", "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ("TZ", ":UTC"),
        ("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1"),
        ("_AWS_XRAY_DAEMON_PORT", "2000"),
        ("_HANDLER", &function.handler),
    ];
    let mut all: BTreeMap<String, String> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.extend(function.env.clone());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_lambda_refuses_is_refused() {
        assert!(matches!(check(&with("LAMBDA_TASK_ROOT", "/x")), Err(EmulatorError::ReservedVariable { .. })));
        for name in ["", "_X", "A", "1A", "A-B", "A=B"] {
            assert!(matches!(check(&with(name, "")), Err(EmulatorError::VariableName { .. })), "{name}");
        }
        assert!(matches!(check(&with("AB", &"x".repeat(4095))), Err(EmulatorError::EnvironmentTooLarge { .. })));
        assert!(check(&with("AB", &"x".repeat(4094))).is_ok());
        for allowed in ["AWS_ACCESS_KEY_ID", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"] {
            assert!(check(&with(allowed, "x")).is_ok(), "{allowed}");
        }
    }
}
