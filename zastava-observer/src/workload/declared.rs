//! The process that a container's specification declares.

use serde::{Deserialize, Deserializer};

/// The most variables that are kept.
const VARIABLES_MAX: usize = 64;
/// The longest value that is kept, except that of `PATH`.
const VALUE_BYTES_MAX: usize = 256;
/// The most names of variables that are kept, and the longest.
const NAMES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 64;
/// The longest `PATH` that is kept.
const PATH_BYTES_MAX: usize = 8 << 10;

/// The process that a container's OCI specification declares (config.md, `process`), as far as it says which program
/// runs. What is absent or `null` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(clippy::exhaustive_structs, reason = "callers say what is declared")]
pub struct DeclaredProcess {
    /// Program and arguments.
    #[serde(deserialize_with = "null_is_empty")]
    pub args: Vec<String>,
    /// The variables that a path to a program may be made of.
    #[serde(rename = "env", deserialize_with = "null_is_empty")]
    pub variables: PathVariables,
    /// The directory that it starts in.
    #[serde(deserialize_with = "null_is_empty")]
    pub cwd: String,
    /// Who runs it.
    #[serde(deserialize_with = "null_is_empty")]
    pub user: DeclaredUser,
}

/// A user in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::exhaustive_structs, reason = "the specification has these numbers")]
pub struct DeclaredUser {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Further groups.
    #[serde(deserialize_with = "null_is_empty")]
    pub additional_gids: Vec<u32>,
}

/// Those variables of an environment whose value is an absolute path, and `PATH`. Of all others only the name is kept,
/// since their value may be a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<String>")]
pub struct PathVariables {
    kept: Vec<(String, String)>,
    others: Vec<String>,
    /// There are more than were kept.
    is_cut: bool,
}

impl PathVariables {
    /// The value of a variable. The first of a name counts, as for `getenv`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.kept.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a variable may have a value, which need not be known.
    #[must_use]
    pub fn may_have(&self, name: &str) -> bool {
        self.is_cut || self.get(name).is_some() || self.others.iter().any(|other| other == name)
    }
}

/// Lines such as `PATH=/bin`.
impl From<Vec<String>> for PathVariables {
    fn from(lines: Vec<String>) -> Self {
        let mut variables = Self::default();
        for (name, value) in lines.iter().filter_map(|line| line.split_once('=')) {
            let is_path = match name {
                "PATH" => value.len() <= PATH_BYTES_MAX,
                _ => value.len() <= VALUE_BYTES_MAX && value.starts_with('/') && !value.contains([' ', '\n']),
            };
            if name.len() > NAME_BYTES_MAX || variables.others.len() >= NAMES_MAX {
                variables.is_cut = true;
            } else if is_path && variables.kept.len() < VARIABLES_MAX {
                variables.kept.push((name.to_owned(), value.to_owned()));
            } else {
                variables.others.push(name.to_owned());
            }
        }
        variables
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_environment_only_paths_are_kept() {
        let lines =
            ["PATH=/bin:", "JAVA_HOME=/opt/jdk", "PASSWORD=hunter2", "OPTS=/a b", "PATH=/other", "HOME"];
        let variables = PathVariables::from(lines.map(str::to_owned).to_vec());
        assert_eq!(variables.get("PATH"), Some("/bin:"));
        assert_eq!(variables.get("JAVA_HOME"), Some("/opt/jdk"));
        for dropped in ["PASSWORD", "OPTS", "HOME"] {
            assert_eq!(variables.get(dropped), None);
        }
        let known = ["PATH", "PASSWORD", "OPTS", "HOME", "OTHER"].map(|name| variables.may_have(name));
        assert_eq!(known, [true, true, true, false, false]);
        assert!(!format!("{variables:?}").contains("hunter2"));
    }

    #[test]
    fn what_a_specification_leaves_out_is_empty() {
        let json = r#"{"args": ["a", "b"], "env": ["PATH=/bin"], "cwd": "/", "terminal": false,
            "user": {"uid": 1, "gid": 2, "additionalGids": [3]}}"#;
        let declared: DeclaredProcess = serde_json::from_str(json).expect("is a process");
        assert_eq!((declared.args.len(), declared.cwd.as_str()), (2, "/"));
        assert_eq!(declared.user, DeclaredUser { uid: 1, gid: 2, additional_gids: vec![3] });
        let nulls = r#"{"args": null, "env": null, "cwd": null, "user": {"additionalGids": null}}"#;
        for json in ["{}", nulls] {
            assert_eq!(
                serde_json::from_str::<DeclaredProcess>(json).expect("is one"),
                DeclaredProcess::default()
            );
        }
    }
}
