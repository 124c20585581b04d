//! Mistakes that a configuration is delivered with: each is named at its place, and none of its secrets is.
#![expect(clippy::print_stdout, reason = "figures are shown with --nocapture")]

use std::path::Path;

use zastava_core::config::{Configuration, Origin};
use zastava_core::options::RuntimeOptions;

use crate::config::MINIMAL;

fn faults_of(config: &Configuration) -> Vec<String> {
    let read = config.read(|root| RuntimeOptions::read(&root.section("runtime")));
    read.map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

/// The faults of the minimal file with these lines after it.
fn faults(lines: &str) -> Vec<String> {
    faults_of(&Configuration::from_yaml(&format!("{MINIMAL}{lines}"), Path::new("zastava.yaml")))
}

#[test]
fn a_value_that_nothing_expands_is_a_fault() {
    let rows = [
        ("tokenPath: /${REALM}/token", "tokenPath: holds ${REALM}, which"),
        ("clientId: $(NODE_NAME)", "clientId: holds $(NODE_NAME), which"),
        ("audience: '{{ .Values.audience }}'", "audience: holds {{ .Values.audience }}, which"),
        ("scopes: [read, '${SCOPE:-write}']", "scopes: holds ${SCOPE:-write}, which"),
        ("cacheDir: /var/${DIR}", "cacheDir: holds ${DIR}, which"),
        ("refreshSkewSeconds: ${SKEW}", "refreshSkewSeconds: holds ${SKEW}, which"),
        ("audienceScopes: {attestor: '${SCOPES}'}", "audienceScopes: holds ${SCOPES}, which"),
        ("audienceScopes: {'${AUDIENCE}': read}", "audienceScopes: holds ${AUDIENCE}, which"),
        ("audience: '{{- .Values.audience -}}'", "audience: holds {{- .Values.audience -}}, which"),
        ("clientId: 'a${}-${CLIENT}'", "clientId: holds ${CLIENT}, which"),
    ];
    for (line, expected) in rows {
        let expected = format!(
            "zastava.yaml:8: zastava.runtime.authority.{expected} nothing replaces here; write the value itself"
        );
        assert_eq!(faults(&format!("      {line}\n")), [expected], "{line}");
    }
    // What only looks like one stays.
    for line in ["clientId: a$b", "clientId: ${}", "clientId: '$(a b)'", "audience: 'a{b}'"] {
        assert_eq!(faults(&format!("      {line}\n")), [] as [String; 0], "{line}");
    }
}

#[test]
fn a_dollar_more_keeps_what_looks_like_a_placeholder() {
    let read = |yaml: &str| {
        let config = Configuration::from_yaml(&format!("zastava:\n{yaml}"), Path::new("zastava.yaml"));
        let value = |section: &zastava_core::config::Section<'_>| {
            let text = section.optional::<String>("text").unwrap_or_default();
            let list = section.list::<String>("list", Vec::new());
            let items = section.items("items", |item| item.ok().map(str::to_owned));
            Some((text, list, items, section.words("words")))
        };
        config.read(value).map(|(value, _)| value).map_err(|faults| faults.to_string())
    };
    for (given, expected) in [
        ("$${A}", "${A}"),
        ("x-$${A}-$$(B)-$${C:-d}", "x-${A}-$(B)-${C:-d}"),
        ("$$(B) before $${A}", "$(B) before ${A}"),
        ("$$${A}", "$${A}"),
        // What is no placeholder has never needed it.
        ("$$", "$$"),
        ("a$${}b", "a$${}b"),
        ("$$(a b)", "$$(a b)"),
    ] {
        let words = [(expected.to_owned(), expected.to_owned())].into();
        let expected = expected.to_owned();
        let yaml = format!(
            "  text: '{given}'\n  list: ['{given}']\n  items: ['{given}']\n  words: {{'{given}': '{given}'}}\n"
        );
        assert_eq!(
            read(&yaml),
            Ok((expected.clone(), vec![expected.clone()], vec![expected], words)),
            "{given}"
        );
    }
    for given in ["$${A} ${B}", "${B} $${A}", "$${A}{{ .B }}"] {
        let told = read(&format!("  text: '{given}'\n")).unwrap_err();
        assert!(told.contains("text: holds ") && !told.contains("holds ${A}"), "{told}");
    }
}

#[test]
fn names_that_variables_add_to_a_map_keep_their_case() {
    let mut config = Configuration::from_yaml(
        "zastava:\n  words: {cluster: a, zoneName: b, Zone: c, zone: d}\n",
        Path::new("zastava.yaml"),
    );
    let variables = [
        ("ZASTAVA__WORDS__CLUSTER", "1"),
        ("ZASTAVA__WORDS__zonename", "2"),
        ("ZASTAVA__WORDS__Zone", "3"),
        ("ZASTAVA__WORDS__teamName", "4"),
        ("ZASTAVA__WORDS__NEW_ONE", "5"),
    ];
    config.overlay_environment(variables.map(|(name, value)| (name.into(), value.into())));
    let (words, _) = config.read(|section| Some(section.words("words"))).unwrap();
    let expected = [
        ("Zone", "3"),
        ("cluster", "1"),
        ("new_one", "5"),
        ("teamName", "4"),
        ("zone", "d"),
        ("zoneName", "2"),
    ];
    assert!(words.iter().map(|(name, word)| (&**name, &**word)).eq(expected), "{words:?}");
}

#[test]
fn two_spellings_of_one_key_are_a_fault() {
    let flag = Origin::Flag("--set".to_owned());
    let mut config = Configuration::from_yaml(MINIMAL, Path::new("zastava.yaml"));
    for value in ["a", "b"] {
        config.set("zastava.runtime.tenant", value, &flag);
    }
    let tenant = |config: &Configuration| {
        config.read(|root| RuntimeOptions::read(&root.section("runtime"))).map(|(options, _)| options.tenant)
    };
    assert_eq!(tenant(&config).unwrap(), "b", "the later flag counts");
    config.set("zastava.runtime.Tenant", "c", &flag);
    let told = tenant(&config).unwrap_err().to_string();
    assert_eq!(told, "--set: zastava.runtime.Tenant: is set as zastava.runtime.tenant too; one must go");
}

#[test]
fn names_and_items_are_values_that_nothing_expands_too() {
    let items = |section: &zastava_core::config::Section<'_>| {
        let words = section.items("items", |item| item.ok().map(str::to_owned));
        let named = section.sections("named", |name, _| Some(name.to_owned()));
        Some((words, named))
    };
    let yaml = "zastava:\n  items: ['${A}', b]\n  named:\n    '${NAME}': {}\n    team-a: {}\n";
    let mut config = Configuration::from_yaml(yaml, Path::new("zastava.yaml"));
    let faults = |config: &Configuration| config.read(items).unwrap_err().to_string();
    let named =
        "zastava.yaml:4: zastava.named: holds ${NAME}, which nothing replaces here; write the value itself";
    let item = "zastava.items: holds ${A}, which nothing replaces here; write the value itself";
    assert_eq!(faults(&config), format!("zastava.yaml:2: {item}\n{named}"));
    config.overlay_environment([("ZASTAVA__ITEMS".into(), "b,${A}".into())]);
    assert_eq!(faults(&config), format!("ZASTAVA__ITEMS: {item}\n{named}"));
}

#[test]
fn variables_apply_in_any_case_and_two_for_one_key_are_a_fault() {
    let mut config = Configuration::from_yaml(MINIMAL, Path::new("zastava.yaml"));
    let variables = [
        ("Zastava__Runtime__Authority__ClientId", "mixed"),
        ("zastava__runtime__tenant", "lower"),
        ("ZASTAVA_WEBHOOK_SERVICE_HOST", "10.0.0.1"),
    ];
    config.overlay_environment(variables.map(|(name, value)| (name.into(), value.into())));
    let (options, _) = config.read(|root| RuntimeOptions::read(&root.section("runtime"))).expect("is valid");
    assert_eq!((options.authority.client_id.as_str(), options.tenant.as_str()), ("mixed", "lower"));

    let variables = [("ZASTAVA__RUNTIME__TENANT", "a"), ("Zastava__Runtime__Tenant", "b")];
    config.overlay_environment(variables.map(|(name, value)| (name.into(), value.into())));
    assert_eq!(
        faults_of(&config),
        [
            "Zastava__Runtime__Tenant: zastava.runtime.tenant: ZASTAVA__RUNTIME__TENANT sets the same key; one must go"
        ]
    );
}

#[test]
fn a_tab_names_its_line() {
    let at = |text: &str| faults_of(&Configuration::from_yaml(text, Path::new("zastava.yaml")));
    let rows = [
        ("zastava:\n\truntime:\n\t\ttenant: acme\n", 2),
        ("zastava:\n  runtime:\n    tenant: acme\n\tauthority: {}\n", 4),
        ("zastava:\n  runtime:\n    authority:\n  \t  issuer: https://a\n", 4),
    ];
    for (text, line) in rows {
        let expected = format!("zastava.yaml:{line}: a tab indents this line; YAML takes spaces only");
        assert_eq!(at(text), [expected], "{text}");
    }
    // Elsewhere a tab is white space like any other.
    assert_eq!(faults("      clientId: x\t# a comment\n"), [] as [String; 0]);
}

#[test]
fn a_path_of_several_lines_and_a_number_with_leading_zeros_are_faults() {
    let rows = [
        (
            "caBundlePath: |\n        /etc/ca.pem\n",
            "caBundlePath: expected an absolute path in one line, found \"/etc/ca.pem\\n\"",
        ),
        (
            "cacheDir: \"/var/run/\\tx\"\n",
            "cacheDir: expected an absolute path in one line, found \"/var/run/\\tx\"",
        ),
        (
            "refreshSkewSeconds: 010\n",
            "refreshSkewSeconds: expected a time such as 500ms, 2s, 5m or 24h, a year at most; a bare number is seconds, found \"010\"",
        ),
        (
            "requestTimeoutSeconds: 00s\n",
            "requestTimeoutSeconds: expected a time such as 500ms, 2s, 5m or 24h, a year at most; a bare number is seconds, found \"00s\"",
        ),
    ];
    for (lines, expected) in rows {
        let found = faults(&format!("      {lines}"));
        assert_eq!(found, [format!("zastava.yaml:8: zastava.runtime.authority.{expected}")], "{lines}");
    }
    use zastava_core::config::{ByteSize, SettingValue as _};
    assert_eq!(
        [u32::parse("010"), u32::parse("+1"), u32::parse("0"), u32::parse("10")],
        [None, None, Some(0), Some(10)]
    );
    assert_eq!([ByteSize::parse("064MiB"), ByteSize::parse("0")], [None, Some(ByteSize(0))]);
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    for url in ["https://user:pass-word@authority.internal", "https://token@authority.internal/x"] {
        let text = MINIMAL.replace("https://authority.internal", url);
        let found = faults_of(&Configuration::from_yaml(&text, Path::new("zastava.yaml")));
        assert!(found[0].contains("found \"https://…@authority.internal"), "{found:?}");
        assert!(!found.concat().contains("pass-word") && !found.concat().contains("token@"), "{found:?}");
    }
}

/// What an operator may put where it does not belong.
fn misplaced() -> Vec<(&'static str, String)> {
    let body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVcB8BX0wJd4fQ9mT\n8cW1nQqvRzJkYhLp2sTgXeUoA7WhRANCAASn3bVxKfDyM5Pr\n";
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n");
    vec![
        ("PEM", pem.clone()),
        ("PEM in one line", pem.replace('\n', " ")),
        ("PEM with escaped line ends", pem.replace('\n', "\\n")),
        ("PEM without line ends", pem.replace('\n', "")),
        ("base64", body.replace('\n', "")),
        ("JWK", r#"{"kty":"EC","crv":"P-256","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#.to_owned()),
        (
            "JWT",
            "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ6YXN0YXZhLXJ1bnRpbWUifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
                .to_owned(),
        ),
        ("in braces", "x${870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE}".to_owned()),
        ("hexadecimal", "3f786850e387550fdab836ed7e6dc881de23001b3f786850e387550fdab836ed".to_owned()),
    ]
}

/// Every 12 bytes of it that are not the armour around it.
fn windows(secret: &str) -> Vec<String> {
    let armour =
        ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", r#"{"kty":"EC","crv":"P-256","d":""#];
    let mut rest = secret.to_owned();
    for part in armour {
        rest = rest.replace(part, "\n");
    }
    let parts = rest.lines().flat_map(|line| line.split("\\n")).map(str::to_owned).collect::<Vec<_>>();
    parts
        .iter()
        .flat_map(|part| part.as_bytes().windows(12))
        .map(|w| String::from_utf8_lossy(w).into_owned())
        .collect()
}

#[test]
fn no_fault_shows_a_secret_that_was_put_in_the_wrong_place() {
    let text = format!("{MINIMAL}      allowStaticTokenFallback: true\n      staticTokenPath: /t\n");
    let good = Configuration::from_yaml(&text, Path::new("zastava.yaml"));
    let (_, settings) = good.read(|root| RuntimeOptions::read(&root.section("runtime"))).expect("is valid");
    let optional =
        ["dpopKeyPath", "clientSecretPath", "clientAssertionKeyPath", "clientAssertionKeyId", "caBundlePath"];
    let optional = optional.map(|key| format!("zastava.runtime.authority.{key}"));
    let keys: Vec<_> = settings.iter().map(|setting| setting.key.clone()).chain(optional).collect();
    let (mut tried, mut refused) = (0, 0);
    for key in &keys {
        for (kind, secret) in misplaced() {
            let mut by_flag = good.clone();
            by_flag.set(key, &secret, &Origin::Flag("--set".to_owned()));
            let mut by_section = good.clone();
            by_section.set(
                key.rsplit_once('.').expect("is nested").0,
                &secret,
                &Origin::Flag("--set".to_owned()),
            );
            let mut by_name = good.clone();
            by_name.set(
                &format!("{key}x.{}", secret.replace('.', "")),
                "1",
                &Origin::Flag("--set".to_owned()),
            );
            for config in [by_flag, by_section, by_name] {
                let faults = faults_of(&config);
                let shown = format!("{} {faults:?}", faults.join("\n"));
                tried += 1;
                refused += usize::from(!faults.is_empty());
                for window in windows(&secret) {
                    assert!(!shown.contains(&window), "{kind} as {key}: {window:?} in {shown}");
                }
            }
        }
    }
    println!("{tried} misplaced secrets, {refused} of them refused");
    assert!(refused > tried / 2, "{refused} of {tried}");
}
