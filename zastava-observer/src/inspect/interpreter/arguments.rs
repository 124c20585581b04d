//! What an interpreter runs, by its arguments.

use super::language::Language;

/// What an interpreter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct Target<'a> {
    pub(in crate::inspect) kind: TargetKind,
    pub(in crate::inspect) name: &'a str,
}

/// What a target's name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::inspect) enum TargetKind {
    /// A file.
    Script,
    /// A module that the interpreter finds along its own path.
    Module,
    /// A Java archive, which is a file.
    Jar,
    /// A Java class.
    Class,
}

impl TargetKind {
    /// Its word in events.
    pub(in crate::inspect) fn as_str(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Module => "module",
            Self::Jar => "jar",
            Self::Class => "class",
        }
    }

    /// Whether the name is a path.
    pub(in crate::inspect) fn is_file(self) -> bool {
        matches!(self, Self::Script | Self::Jar)
    }
}

/// What the options of an interpreter mean, as far as it takes to find what it runs.
struct Options {
    /// Options whose value is the next word.
    valued: &'static str,
    /// Options whose value names what is run.
    named: &'static [(&'static str, TargetKind)],
    /// Options whose value is the program's text, so that no file is run.
    inline: &'static str,
    /// What the first word that is no option is.
    operand: TargetKind,
    /// Whether short options are written together: `-ne` is `-n -e`.
    clusters: bool,
}

fn options(language: Language) -> Option<Options> {
    let base = Options { valued: "", named: &[], inline: "", operand: TargetKind::Script, clusters: false };
    Some(match language {
        Language::Python => Options {
            valued: "-W -X -Q --check-hash-based-pycs",
            named: &[("-m", TargetKind::Module)],
            inline: "-c",
            clusters: true,
            ..base
        },
        Language::Node => Options {
            valued: "-r --require --import --loader --experimental-loader -C --conditions --title --icu-data-dir",
            inline: "-e --eval -p --print -pe",
            ..base
        },
        Language::Java => Options {
            valued: "-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-opens \
                --add-exports --add-reads --limit-modules --source --enable-native-access",
            named: &[("-jar", TargetKind::Jar), ("-m", TargetKind::Module), ("--module", TargetKind::Module)],
            operand: TargetKind::Class,
            ..base
        },
        Language::Ruby => Options { valued: "-I -r -C -E --encoding", inline: "-e", clusters: true, ..base },
        Language::Php => Options {
            valued: "-d -c -z -t -y -p -g -S",
            named: &[("-f", TargetKind::Script), ("--file", TargetKind::Script)],
            inline: "-r --run -B -R -E",
            ..base
        },
        Language::Perl => Options { valued: "-I", inline: "-e -E", clusters: true, ..base },
        Language::DotNet => Options {
            valued: "--additionalprobingpath --depsfile --runtimeconfig --fx-version --roll-forward --roll-forward-on-no-candidate-fx",
            ..base
        },
        // Its virtual machine is told to boot a release, and not to run a file.
        Language::Erlang => return None,
    })
}

/// What the interpreter runs, by its arguments without its own name; `None` if that is no file, module or class, or not
/// to be seen.
pub(in crate::inspect) fn target<'a>(
    language: Language,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Option<Target<'a>> {
    let options = options(language)?;
    let mut words = arguments.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            return operand(language, &options, words.next()?);
        }
        if !word.starts_with('-') || word == "-" {
            // `dotnet exec app.dll`
            if language == Language::DotNet && word == "exec" {
                continue;
            }
            return operand(language, &options, word);
        }
        if has(options.inline, word) || (options.clusters && is_cluster_with(options.inline, word)) {
            return None;
        }
        let (option, attached) =
            word.split_once('=').map_or((word, None), |(option, value)| (option, Some(value)));
        let is_named = |known: &str| known == option || (options.clusters && is_cluster_with(known, option));
        if let Some((_, kind)) = options.named.iter().find(|(known, _)| is_named(known)) {
            return Some(Target { kind: *kind, name: attached.or_else(|| words.next())? });
        }
        if attached.is_none() && has(options.valued, option) {
            words.next();
        }
    }
    None
}

/// `-` is standard input, `@file` holds more arguments.
fn operand<'a>(language: Language, options: &Options, word: &'a str) -> Option<Target<'a>> {
    let is_named = match language {
        Language::Java => !word.starts_with('@'),
        // The rest are subcommands, such as `dotnet run`.
        Language::DotNet => word.ends_with(".dll") || word.ends_with(".exe"),
        _ => word != "-",
    };
    let kind = if language == Language::Java && word.ends_with(".java") {
        TargetKind::Script
    } else {
        options.operand
    };
    is_named.then_some(Target { kind, name: word })
}

fn has(options: &str, word: &str) -> bool {
    options.split_whitespace().any(|option| option == word)
}

/// `-ne` of perl: short options, the last of which takes the text.
fn is_cluster_with(inline: &str, word: &str) -> bool {
    let Some(letters) = word.strip_prefix('-') else { return false };
    let flags = letters.len() <= 4 && letters.bytes().all(|letter| letter.is_ascii_lowercase());
    flags && inline.split_whitespace().any(|option| letters.ends_with(&option[1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(language: Language, line: &str, wanted: Option<(TargetKind, &str)>) {
        let found = target(language, line.split_whitespace()).map(|target| (target.kind, target.name));
        assert_eq!(found, wanted, "{line}");
    }

    #[test]
    fn arguments_name_what_is_run() {
        use Language::{DotNet, Erlang, Java, Node, Perl, Php, Python, Ruby};
        use TargetKind::{Class, Jar, Module, Script};
        for (language, line, wanted) in [
            (Python, "app.py --port 80", Some((Script, "app.py"))),
            (Python, "-u -W ignore -X dev app.py", Some((Script, "app.py"))),
            (Python, "-m gunicorn app:app", Some((Module, "gunicorn"))),
            (Python, "-um http.server", Some((Module, "http.server"))),
            (Python, "-c print(1)", None),
            (Python, "-uc print(1)", None),
            (Python, "-", None),
            (Python, "", None),
            (Node, "server.js", Some((Script, "server.js"))),
            (
                Node,
                "--max-old-space-size=512 -r dotenv/config dist/main.js x",
                Some((Script, "dist/main.js")),
            ),
            (Node, "--import ./a.mjs index.mjs", Some((Script, "index.mjs"))),
            (Node, "-e 1", None),
            (Java, "-Xmx1g -jar /app.jar --port 1", Some((Jar, "/app.jar"))),
            (Java, "-cp a.jar:b.jar -Da=b org.Main x", Some((Class, "org.Main"))),
            (
                Java,
                "--add-opens java.base/java.lang=ALL-UNNAMED -m app/org.Main",
                Some((Module, "app/org.Main")),
            ),
            (Java, "--module=app/org.Main", Some((Module, "app/org.Main"))),
            (Java, "@arguments", None),
            (Java, "Main.java", Some((Script, "Main.java"))),
            (Ruby, "-I lib -r bundler bin/puma -C x", Some((Script, "bin/puma"))),
            (Ruby, "-e 1", None),
            (Php, "-d a=b artisan serve", Some((Script, "artisan"))),
            (Php, "-f index.php", Some((Script, "index.php"))),
            (Php, "-r echo", None),
            (Php, "-S 0.0.0.0:80 -t public router.php", Some((Script, "router.php"))),
            (Perl, "-w -I lib app.pl", Some((Script, "app.pl"))),
            (Perl, "-ne print", None),
            (Perl, "-Mstrict -- app.pl", Some((Script, "app.pl"))),
            (DotNet, "app.dll --urls x", Some((Script, "app.dll"))),
            (DotNet, "exec --depsfile a.json app.dll", Some((Script, "app.dll"))),
            (DotNet, "run", None),
            (Erlang, "-boot start", None),
        ] {
            check(language, line, wanted);
        }
    }
}
