//! The languages whose programs are run by an interpreter or a virtual machine, and their files' names.

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) enum Language {
    Python,
    Node,
    Java,
    Ruby,
    Php,
    Perl,
    DotNet,
    Erlang,
}

impl Language {
    /// Its word in events.
    pub(in crate::inspect) fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Java => "java",
            Self::Ruby => "ruby",
            Self::Php => "php",
            Self::Perl => "perl",
            Self::DotNet => "dotnet",
            Self::Erlang => "erlang",
        }
    }
}

/// How names of programs begin, behind which only a version may follow.
const PROGRAMS: [(&str, Language); 14] = [
    ("python", Language::Python),
    ("pypy", Language::Python),
    ("nodejs", Language::Node),
    ("node", Language::Node),
    ("nsolid", Language::Node),
    ("java", Language::Java),
    ("ruby", Language::Ruby),
    ("jruby", Language::Ruby),
    ("php-fpm", Language::Php),
    ("php-cgi", Language::Php),
    ("php", Language::Php),
    ("perl", Language::Perl),
    ("dotnet", Language::DotNet),
    ("beam.smp", Language::Erlang),
];

/// The same for libraries, whose names may go on in any way.
const LIBRARIES: [(&str, Language); 9] = [
    ("libpython", Language::Python),
    ("libpypy", Language::Python),
    ("libnode.so", Language::Node),
    ("libjvm.so", Language::Java),
    ("libruby", Language::Ruby),
    ("libphp", Language::Php),
    ("libperl.so", Language::Perl),
    ("libcoreclr.so", Language::DotNet),
    ("libhostfxr.so", Language::DotNet),
];

/// Directories in the paths of interpreters behind which a version stands.
const DIRECTORIES: [(&str, Language); 6] = [
    ("/versions/node/v", Language::Node),
    ("/jvm/java-", Language::Java),
    ("/jdk-", Language::Java),
    ("/Microsoft.NETCore.App/", Language::DotNet),
    ("/erts-", Language::Erlang),
    ("/perl/", Language::Perl),
];

/// The language whose interpreter this file is, by its path.
pub(in crate::inspect) fn of_program(path: &str) -> Option<Language> {
    let name = file_name(path);
    let (_, language) =
        PROGRAMS.iter().find(|(start, _)| name.strip_prefix(start).is_some_and(is_version))?;
    Some(*language)
}

/// The language whose interpreter this library is, by its path.
pub(in crate::inspect) fn of_library(path: &str) -> Option<Language> {
    let name = file_name(path);
    LIBRARIES.iter().find(|(start, _)| name.starts_with(start)).map(|(_, language)| *language)
}

/// The version in a program's or library's path, in its name or else in a directory's.
pub(super) fn version(language: Language, path: &str) -> Option<&str> {
    let name = file_name(path);
    let names = PROGRAMS.iter().chain(&LIBRARIES).filter(|(_, of)| *of == language);
    let mut in_name = names.filter_map(|(start, _)| leading_version(name.strip_prefix(start)?));
    // Debian's libruby-3.1.so.3.1.2 says more behind its `.so.`.
    let behind_so = || name.split_once(".so.").and_then(|(_, rest)| leading_version(rest));
    let full = behind_so().filter(|rest| language == Language::Ruby && rest.contains('.'));
    let directories = DIRECTORIES.iter().filter(|(_, of)| *of == language);
    let mut in_directory = directories.filter_map(|(start, _)| {
        let (_, rest) = path.split_once(start)?;
        leading_version(rest)
    });
    full.or_else(|| in_name.next()).or_else(|| in_directory.next())
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// `3.11`, `8.2`, `-3.1` or nothing, but no `ctl` or `3-config`.
fn is_version(rest: &str) -> bool {
    rest.strip_prefix('-').unwrap_or(rest).bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// The version that the text begins with, behind one `-` or `.`.
fn leading_version(text: &str) -> Option<&str> {
    let text = text.strip_prefix(['-', '.']).unwrap_or(text);
    let end =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    Some(text[..end].trim_end_matches('.')).filter(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_name_and_version() {
        for (path, wanted) in [
            ("/usr/bin/python3.11", Some((Language::Python, Some("3.11")))),
            ("/usr/local/bin/python", Some((Language::Python, None))),
            ("/opt/pypy/bin/pypy3.10", Some((Language::Python, Some("3.10")))),
            ("/usr/bin/node", Some((Language::Node, None))),
            ("/root/.nvm/versions/node/v18.19.0/bin/node", Some((Language::Node, Some("18.19.0")))),
            ("/usr/bin/nodejs", Some((Language::Node, None))),
            ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", Some((Language::Java, Some("17")))),
            ("/opt/jdk-21.0.2/bin/java", Some((Language::Java, Some("21.0.2")))),
            ("/usr/bin/ruby3.1", Some((Language::Ruby, Some("3.1")))),
            ("/usr/sbin/php-fpm8.2", Some((Language::Php, Some("8.2")))),
            ("/usr/local/sbin/php-fpm", Some((Language::Php, None))),
            ("/usr/bin/php8.2", Some((Language::Php, Some("8.2")))),
            ("/usr/bin/perl5.36.0", Some((Language::Perl, Some("5.36.0")))),
            ("/usr/share/dotnet/dotnet", Some((Language::DotNet, None))),
            ("/usr/lib/erlang/erts-13.1.5/bin/beam.smp", Some((Language::Erlang, Some("13.1.5")))),
            ("/usr/bin/python3-config", None),
            ("/usr/bin/javac", None),
            ("/usr/bin/nodetool", None),
            ("/usr/bin/perldoc", None),
            ("/usr/bin/redis-server", None),
            ("", None),
        ] {
            let found = of_program(path).map(|language| (language, version(language, path)));
            assert_eq!(found, wanted, "{path}");
        }
    }

    #[test]
    fn libraries_are_known_too() {
        for (path, wanted) in [
            ("/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0", Some((Language::Python, Some("3.11")))),
            ("/usr/lib/libnode.so.108", Some((Language::Node, Some("108")))),
            ("/usr/lib/jvm/java-11-openjdk/lib/server/libjvm.so", Some((Language::Java, Some("11")))),
            ("/opt/java/openjdk/lib/server/libjvm.so", Some((Language::Java, None))),
            ("/usr/lib/libruby-3.1.so.3.1.2", Some((Language::Ruby, Some("3.1.2")))),
            ("/usr/local/lib/libruby.so.3.3.0", Some((Language::Ruby, Some("3.3.0")))),
            ("/usr/lib/apache2/modules/libphp8.2.so", Some((Language::Php, Some("8.2")))),
            ("/usr/lib/libperl.so.5.36", Some((Language::Perl, Some("5.36")))),
            (
                "/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/libcoreclr.so",
                Some((Language::DotNet, Some("8.0.1"))),
            ),
            ("/usr/lib/libc.so.6", None),
        ] {
            let found = of_library(path).map(|language| (language, version(language, path)));
            assert_eq!(found, wanted, "{path}");
        }
    }
}
