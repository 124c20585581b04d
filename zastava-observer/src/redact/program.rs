//! Programs that take secrets by options and operands without a telling name.

use std::ops::Range;

use super::name::Class;

/// How a program takes secrets.
pub(super) struct Program {
    names: &'static [&'static str],
    /// Options whose value follows, in the same word or in the next.
    options: &'static [(&'static str, Class)],
    /// Options whose value can only stand in the same word, since the next one means something else.
    attached: &'static [&'static str],
    /// Behind a subcommand or option, the secret is the operand after so many others.
    operands: &'static [(&'static str, usize)],
    /// An operand `user/secret@database` (Oracle's tools).
    is_oracle: bool,
}

const fn program(names: &'static [&'static str]) -> Program {
    Program { names, options: &[], attached: &[], operands: &[], is_oracle: false }
}

const SECRET: Class = Class::Secret;
const USER: Class = Class::User;

static PROGRAMS: [Program; 21] = [
    Program { options: &[("-p", SECRET)], ..program(&["sshpass"]) },
    Program { options: &[("-a", SECRET)], ..program(&["redis-cli", "valkey-cli", "keydb-cli"]) },
    Program {
        attached: &["-p"],
        ..program(&[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
        ])
    },
    Program {
        options: &[("-w", SECRET)],
        ..program(&["ldapsearch", "ldapadd", "ldapmodify", "ldapdelete", "ldapwhoami", "ldappasswd"])
    },
    Program { options: &[("-u", USER), ("-U", USER), ("-b", SECRET)], ..program(&["curl"]) },
    Program { options: &[("-a", USER)], ..program(&["http", "https", "xh"]) },
    Program { options: &[("-A", USER), ("-P", USER)], ..program(&["ab"]) },
    Program {
        options: &[("-p", SECRET)],
        ..program(&[
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "cqlsh",
            "ipmiutil",
        ])
    },
    Program {
        options: &[("-P", SECRET)],
        ..program(&["mosquitto_pub", "mosquitto_sub", "sqlcmd", "bcp", "ipmitool", "zip", "unzip"])
    },
    Program { attached: &["-p"], ..program(&["7z", "7za", "7zz", "rar", "unrar"]) },
    Program {
        options: &[("-k", SECRET), ("-passin", SECRET), ("-passout", SECRET), ("-pass", SECRET)],
        ..program(&["openssl"])
    },
    Program {
        options: &[("-c", SECRET), ("-A", SECRET), ("-X", SECRET)],
        ..program(&["snmpget", "snmpwalk", "snmpbulkwalk", "snmpset"])
    },
    Program {
        operands: &[("-b", 2), ("-bB", 2), ("-bc", 2), ("-cb", 2), ("-nb", 1), ("-bn", 1), ("-nbB", 1)],
        ..program(&["htpasswd"])
    },
    Program {
        operands: &[("add_user", 1), ("change_password", 1), ("authenticate_user", 1)],
        ..program(&["rabbitmqctl"])
    },
    Program { operands: &[("login", 0), ("unseal", 0)], ..program(&["vault", "bao"]) },
    Program { is_oracle: true, ..program(&["sqlplus", "sql", "expdp", "impdp", "sqlldr", "rman"]) },
    Program { attached: &["/p:", "/pw:"], ..program(&["xfreerdp", "xfreerdp3", "wlfreerdp"]) },
    Program { options: &[("-U", USER)], ..program(&["smbclient", "rpcclient", "smbget"]) },
    Program { operands: &[("set_password", 1)], ..program(&["ejabberdctl"]) },
    Program { operands: &[("password", 0)], ..program(&["nmcli"]) },
    Program { operands: &[("wpa_passphrase", 1)], ..program(&["wpa_passphrase"]) },
];

/// `docker login -p X`: `-p` means a port elsewhere, so the subcommand decides.
static LOGIN: Program = Program { options: &[("-p", SECRET)], ..program(&["login"]) };

impl Program {
    /// The program of this file name, whatever its directory.
    pub(super) fn named(word: &str) -> Option<&'static Self> {
        let name = word.rsplit('/').next().unwrap_or(word);
        let known = || PROGRAMS.iter().find(|program| program.names.contains(&name));
        if name == "login" { Some(&LOGIN) } else { known() }
    }

    /// The class of an option's value, and where it starts when it stands in the same word.
    pub(super) fn option(&self, word: &str) -> Option<(Class, Option<usize>)> {
        if let Some(start) =
            self.attached.iter().find(|start| word.starts_with(**start) && word.len() > start.len())
        {
            return Some((SECRET, Some(start.len())));
        }
        if let Some((_, class)) = self.options.iter().find(|(option, class)| is_bundle(word, option, *class))
        {
            return Some((*class, None));
        }
        let (option, class) = self.options.iter().find(|(option, _)| word.starts_with(option))?;
        match word.len() - option.len() {
            0 => Some((*class, None)),
            // A longer option, such as `-passin` beside `-pass`.
            _ if option.len() > 2 => None,
            _ => Some((*class, Some(option.len()))),
        }
    }

    /// How many operands stand between this word and the secret.
    pub(super) fn operands_after(&self, word: &str) -> Option<usize> {
        self.operands.iter().find(|(start, _)| *start == word).map(|(_, count)| *count)
    }

    /// Where an operand itself holds a secret.
    pub(super) fn operand_secret_at(&self, word: &str) -> Option<Range<usize>> {
        let (user, rest) = word.split_once('/').filter(|_| self.is_oracle)?;
        let secret = rest.split('@').next().unwrap_or_default();
        let start = user.len() + 1;
        (!user.is_empty() && !secret.is_empty()).then_some(start..start + secret.len())
    }
}

/// `curl -sSLu user:secret`: several switches in one word, of which the last takes a value.
fn is_bundle(word: &str, option: &str, class: Class) -> bool {
    class == USER
        && word.starts_with('-')
        && word.len() < 8
        && word[1..].bytes().all(|b| b.is_ascii_alphabetic())
        && word.ends_with(&option[1..])
}
