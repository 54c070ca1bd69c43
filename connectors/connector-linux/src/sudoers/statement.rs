//! Makes statements of sudoers' logical lines.
//!
//! Names stay names here: an alias may be defined after its use, in another file.

use std::net::Ipv6Addr;

use super::scan::Cursor;
use crate::lines::shown;

/// What one logical line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Tunes sudo and gives nobody a right.
    Defaults,
    /// Another file goes here.
    Include(String),
    /// All files of a folder go here.
    IncludeDir(String),
    /// Names for lists.
    Aliases(AliasKind, Vec<(String, Vec<Item>)>),
    /// Rights.
    UserSpec(UserSpec),
}

/// What an alias stands for; each kind has names of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AliasKind {
    User,
    Runas,
    Host,
    Command,
}

impl AliasKind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "User_Alias",
            Self::Runas => "Runas_Alias",
            Self::Host => "Host_Alias",
            Self::Command => "Cmnd_Alias",
        }
    }
}

/// One item of a list: a name of whatever the list is of, an alias, or `ALL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) is_negated: bool,
    pub(crate) text: String,
}

/// Who may run what, where and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserSpec {
    pub(crate) users: Vec<Item>,
    pub(crate) privileges: Vec<Privilege>,
}

/// What may be run on some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Privilege {
    pub(crate) hosts: Vec<Item>,
    pub(crate) commands: Vec<CommandSpec>,
}

/// One command, with what was said of it or of its predecessors in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandSpec {
    /// None: nobody was named, so it is root.
    pub(crate) runas: Option<Runas>,
    pub(crate) tags: Tags,
    /// Such as `CHROOT=/srv`, in the order given.
    pub(crate) options: Vec<(String, String)>,
    pub(crate) command: Item,
}

/// Users and groups that a command may run as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Runas {
    pub(crate) users: Vec<Item>,
    pub(crate) groups: Vec<Item>,
}

/// The tags that change what a right is worth. The others tell sudo what to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tags {
    pub(crate) nopasswd: bool,
    pub(crate) setenv: bool,
    pub(crate) noexec: bool,
}

impl Tags {
    /// Takes a tag; false when there is none of that name.
    fn set(&mut self, tag: &str) -> bool {
        match tag {
            "NOPASSWD" => self.nopasswd = true,
            "PASSWD" => self.nopasswd = false,
            "SETENV" => self.setenv = true,
            "NOSETENV" => self.setenv = false,
            "NOEXEC" => self.noexec = true,
            "EXEC" => self.noexec = false,
            "FOLLOW" | "NOFOLLOW" | "LOG_INPUT" | "NOLOG_INPUT" | "LOG_OUTPUT" | "NOLOG_OUTPUT"
            | "MAIL" | "NOMAIL" | "INTERCEPT" | "NOINTERCEPT" => {}
            _ => return false,
        }
        true
    }
}

/// Bytes of a user's or a group's name, at most.
const NAME_BYTES_MAX: usize = 256;

const OPTIONS: [&str; 11] = [
    "ROLE",
    "TYPE",
    "PRIVS",
    "LIMITPRIVS",
    "APPARMOR_PROFILE",
    "TIMEOUT",
    "NOTBEFORE",
    "NOTAFTER",
    "CWD",
    "CHROOT",
    "SELINUX",
];

/// Reads one logical line.
pub(crate) fn parse(line: &str) -> Result<Statement, String> {
    let mut cursor = Cursor::new(line);
    if let Some(statement) = include(line)? {
        return Ok(statement);
    }
    let first: &str = Cursor::new(line).take_while(|c| c.is_ascii_alphanumeric() || c == '_');
    let after = &line[first.len()..];
    if first == "Defaults"
        && (after.is_empty() || after.starts_with([' ', '\t', ':', '@', '>', '!']))
    {
        return Ok(Statement::Defaults);
    }
    let kind = match first {
        "User_Alias" => Some(AliasKind::User),
        "Runas_Alias" => Some(AliasKind::Runas),
        "Host_Alias" => Some(AliasKind::Host),
        "Cmnd_Alias" | "Cmd_Alias" => Some(AliasKind::Command),
        _ => None,
    };
    if let Some(kind) = kind {
        cursor.skip(first.len());
        return aliases(&mut cursor, kind);
    }
    user_spec(&mut cursor).map(Statement::UserSpec)
}

fn include(line: &str) -> Result<Option<Statement>, String> {
    for (keyword, is_dir) in
        [("@includedir", true), ("#includedir", true), ("@include", false), ("#include", false)]
    {
        let Some(rest) = line.strip_prefix(keyword) else { continue };
        if !rest.starts_with([' ', '\t']) {
            return if line.starts_with('@') {
                Err(format!("expected a path after `{keyword}` in {}", shown(line)))
            } else {
                // `#included` is a comment that looks like more.
                Ok(Some(Statement::Defaults))
            };
        }
        let mut cursor = Cursor::new(rest);
        let path = cursor.word("")?;
        if path.is_empty() {
            return Err(cursor.unexpected("a path"));
        }
        if !cursor.is_at_end() {
            return Err(cursor.unexpected("the end of the line"));
        }
        let statement = if is_dir { Statement::IncludeDir(path) } else { Statement::Include(path) };
        return Ok(Some(statement));
    }
    Ok(None)
}

fn aliases(cursor: &mut Cursor<'_>, kind: AliasKind) -> Result<Statement, String> {
    let mut aliases = vec![];
    loop {
        let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_alias_name(name) {
            return Err(format!("{} is not a name for an alias", shown(name)));
        }
        cursor.expect("=")?;
        let items = list(cursor, |cursor| match kind {
            AliasKind::User | AliasKind::Runas => user(cursor),
            AliasKind::Host => host(cursor),
            AliasKind::Command => command(cursor),
        })?;
        aliases.push((name.to_owned(), items));
        if cursor.is_at_end() {
            return Ok(Statement::Aliases(kind, aliases));
        }
        cursor.expect(":")?;
    }
}

fn user_spec(cursor: &mut Cursor<'_>) -> Result<UserSpec, String> {
    let users = list(cursor, user)?;
    let mut privileges = vec![];
    loop {
        let hosts = list(cursor, host)?;
        cursor.expect("=")?;
        let commands = command_specs(cursor)?;
        privileges.push(Privilege { hosts, commands });
        if cursor.is_at_end() {
            return Ok(UserSpec { users, privileges });
        }
        cursor.expect(":")?;
    }
}

fn command_specs(cursor: &mut Cursor<'_>) -> Result<Vec<CommandSpec>, String> {
    let mut specs: Vec<CommandSpec> = vec![];
    loop {
        // What is not said again holds on.
        let (mut runas, mut tags, mut options) = specs.last().map_or_else(
            || (None, Tags::default(), vec![]),
            |last| (last.runas.clone(), last.tags, last.options.clone()),
        );
        if cursor.eat("(") {
            runas = Some(runas_spec(cursor)?);
        }
        loop {
            let ahead = &mut cursor.clone();
            let word = ahead.take_while(|c| c.is_ascii_uppercase() || c == '_');
            if ahead.eat("=") && OPTIONS.contains(&word) {
                let value = ahead.word(",")?;
                options.retain(|(name, _)| name != word);
                options.push((word.to_owned(), value));
            } else if !(ahead.eat(":") && tags.set(word)) {
                break;
            }
            *cursor = *ahead;
        }
        let is_negated = negations(cursor);
        let text = command(cursor)?;
        specs.push(CommandSpec { runas, tags, options, command: Item { is_negated, text } });
        if !cursor.eat(",") {
            return Ok(specs);
        }
    }
}

fn runas_spec(cursor: &mut Cursor<'_>) -> Result<Runas, String> {
    let mut runas = Runas::default();
    if cursor.eat(")") {
        return Ok(runas);
    }
    if !cursor.rest().starts_with(':') {
        runas.users = list(cursor, user)?;
    }
    if cursor.eat(":") && !cursor.rest().starts_with(')') {
        runas.groups = list(cursor, user)?;
    }
    cursor.expect(")")?;
    Ok(runas)
}

fn list(
    cursor: &mut Cursor<'_>,
    item: impl Fn(&mut Cursor<'_>) -> Result<String, String>,
) -> Result<Vec<Item>, String> {
    let mut items = vec![];
    loop {
        let is_negated = negations(cursor);
        items.push(Item { is_negated, text: item(cursor)? });
        if !cursor.eat(",") {
            return Ok(items);
        }
    }
}

fn negations(cursor: &mut Cursor<'_>) -> bool {
    let mut is_negated = false;
    while cursor.eat("!") {
        is_negated = !is_negated;
    }
    is_negated
}

fn user(cursor: &mut Cursor<'_>) -> Result<String, String> {
    // `%:name` is a group that a plugin knows; its colon is not the one that ends a list.
    let mut prefix = String::new();
    if cursor.eat("%:") {
        prefix.push_str("%:");
    }
    let word = cursor.word(",:=!()<>")?;
    if word.is_empty() || word == "%" || word == "+" || word == "#" {
        return Err(cursor.unexpected("a user or a group"));
    }
    let is_bad = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    if word.len() > NAME_BYTES_MAX || word.chars().any(is_bad) {
        return Err(format!("{} is not a name", shown(&word)));
    }
    let id = word.strip_prefix("%#").or_else(|| word.strip_prefix('#'));
    if id.is_some_and(|id| id.parse::<u32>().is_err()) {
        return Err(format!("{} is not a number of a user or a group", shown(&word)));
    }
    Ok(prefix + &word)
}

fn host(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let rest = cursor.rest();
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ":./".contains(c)));
    let address = &rest[..end.unwrap_or(rest.len())];
    let bare = address.split('/').next().unwrap_or_default();
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(cursor.skip(address.len()).to_owned());
    }
    let word = cursor.word(",:=!()")?;
    if word.is_empty() || word.chars().any(char::is_control) {
        return Err(cursor.unexpected("a host"));
    }
    Ok(word)
}

/// Takes a command with its arguments, as one text with single blanks. Escapes stay: `\,` is part of
/// an argument, `,` begins the next command.
fn command(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let mut text = digests(cursor)?;
    let rest = cursor.rest();
    let mut end = rest.len();
    let mut escaped = false;
    // A regular expression may hold any character but for its end.
    let is_regex = rest.starts_with('^');
    let mut in_regex = is_regex;
    for (position, c) in rest.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '$' if in_regex => in_regex = false,
            ',' | ':' | '=' if !in_regex => {
                end = position;
                break;
            }
            _ => {}
        }
    }
    if escaped {
        return Err(format!("a backslash escapes nothing in {}", shown(rest)));
    }
    let words: Vec<&str> = rest[..end].split_whitespace().collect();
    let Some(first) = words.first() else { return Err(cursor.unexpected("a command")) };
    let is_command = first.starts_with(['/', '^'])
        || matches!(*first, "sudoedit" | "list")
        || (words.len() == 1 && (*first == "ALL" || is_alias_name(first)));
    if !is_command {
        return Err(cursor.unexpected("a command"));
    }
    text.push_str(&words.join(" "));
    if text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        return Err(format!("{} is not a command", shown(&text)));
    }
    cursor.skip(end);
    Ok(text)
}

/// Takes the digests before a command: `sha256:...`, possibly several.
fn digests(cursor: &mut Cursor<'_>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        let ahead = &mut cursor.clone();
        let word = ahead.take_while(|c| c.is_ascii_alphanumeric());
        if !matches!(word, "sha224" | "sha256" | "sha384" | "sha512") || !ahead.eat(":") {
            return Ok(text);
        }
        let digest = ahead.take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
        if digest.is_empty() {
            return Err(ahead.unexpected("a digest"));
        }
        text.push_str(&format!("{word}:{digest} "));
        ahead.eat(",");
        *cursor = *ahead;
    }
}

/// Whether a word can name an alias. `ALL` cannot.
pub(crate) fn is_alias_name(word: &str) -> bool {
    word != "ALL"
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(line: &str) -> UserSpec {
        match parse(line).unwrap() {
            Statement::UserSpec(spec) => spec,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn texts(items: &[Item]) -> String {
        let text = |item: &Item| format!("{}{}", if item.is_negated { "!" } else { "" }, item.text);
        items.iter().map(text).collect::<Vec<_>>().join(",")
    }

    /// Renders a user specification: users, then for each privilege hosts and commands, each with
    /// what holds for it.
    fn rendered(line: &str) -> String {
        let spec = spec(line);
        let privileges = spec.privileges.iter().map(|privilege| {
            let commands = privilege.commands.iter().map(|spec| {
                let runas = spec.runas.as_ref().map_or_else(String::new, |runas| {
                    format!("({}:{})", texts(&runas.users), texts(&runas.groups))
                });
                let tags =
                    [(spec.tags.nopasswd, "N"), (spec.tags.setenv, "S"), (spec.tags.noexec, "X")];
                let tags: String = tags.iter().filter(|tag| tag.0).map(|tag| tag.1).collect();
                let options: String =
                    spec.options.iter().map(|(name, value)| format!("[{name}={value}]")).collect();
                format!("{runas}{tags}{options}<{}>", texts(std::slice::from_ref(&spec.command)))
            });
            format!("{}={}", texts(&privilege.hosts), commands.collect::<String>())
        });
        format!("{} {}", texts(&spec.users), privileges.collect::<Vec<_>>().join(" : "))
    }

    #[test]
    fn user_specifications_are_read_part_by_part() {
        for (line, expected) in [
            ("root ALL=(ALL:ALL) ALL", "root ALL=(ALL:ALL)<ALL>"),
            ("%wheel ALL = ALL", "%wheel ALL=<ALL>"),
            ("%#27,#1000 ALL=(root)NOPASSWD:/bin/ls", "%#27,#1000 ALL=(root:)N</bin/ls>"),
            ("a, !b , ! ! c ALL=()ALL", "a,!b,c ALL=(:)<ALL>"),
            ("a ALL=(:adm) /bin/ls", "a ALL=(:adm)</bin/ls>"),
            ("a ALL=(op : adm,ops) /bin/ls", "a ALL=(op:adm,ops)</bin/ls>"),
            (
                "a ALL=NOPASSWD: SETENV: /bin/a, /bin/b, PASSWD: /bin/c, (op) /bin/d",
                "a ALL=NS</bin/a>NS</bin/b>S</bin/c>(op:)S</bin/d>",
            ),
            ("a ALL=ALL, !/bin/su, !SHELLS", "a ALL=<ALL><!/bin/su><!SHELLS>"),
            ("a web1=/bin/a : db1,!db2=/bin/b", "a web1=</bin/a> : db1,!db2=</bin/b>"),
            ("a ALL=ADMIN : web1=ALL", "a ALL=<ADMIN> : web1=<ALL>"),
            ("a 2001:db8::1=ALL : 10.0.0.0/8=ALL", "a 2001:db8::1=<ALL> : 10.0.0.0/8=<ALL>"),
            (r"a ALL=/bin/x  a\,b   --c\=d", r"a ALL=</bin/x a\,b --c\=d>"),
            ("a ALL=sudoedit /etc/hosts, list", "a ALL=<sudoedit /etc/hosts><list>"),
            ("a ALL=^/bin/[a-z]{1,3}$ x", "a ALL=<^/bin/[a-z]{1,3}$ x>"),
            ("a ALL=sha256:Zm9v= /bin/ls", "a ALL=<sha256:Zm9v= /bin/ls>"),
            (
                "a ALL=sha224:aa, sha256:bb /bin/ls, /bin/b",
                "a ALL=<sha224:aa sha256:bb /bin/ls></bin/b>",
            ),
            ("a ALL=CHROOT=/srv CWD=* NOEXEC: /bin/a", "a ALL=X[CHROOT=/srv][CWD=*]</bin/a>"),
            ("a ALL=NOTAFTER=20301231000000Z /bin/a", "a ALL=[NOTAFTER=20301231000000Z]</bin/a>"),
            ("%:nonunix,+netgroup ALL=ALL", "%:nonunix,+netgroup ALL=<ALL>"),
            (r#""a b",%"c d" ALL=ALL"#, "a b,%c d ALL=<ALL>"),
            (r"%corp\\domain\ admins ALL=ALL", r"%corp\domain admins ALL=<ALL>"),
            ("Defaultsuser ALL=ALL", "Defaultsuser ALL=<ALL>"),
        ] {
            assert_eq!(rendered(line), expected, "{line}");
        }
    }

    #[test]
    fn defaults_includes_and_aliases_are_told_apart() {
        for line in [
            "Defaults env_reset",
            "Defaults:alice !authenticate",
            "Defaults!/bin/x a=\"b\"",
            "Defaults",
        ] {
            assert_eq!(parse(line).unwrap(), Statement::Defaults, "{line}");
        }
        for (line, expected) in [
            ("@include /etc/a", Statement::Include("/etc/a".into())),
            ("#include  b\\ c", Statement::Include("b c".into())),
            ("@includedir \"/etc/s d\"", Statement::IncludeDir("/etc/s d".into())),
            ("#includedir /etc/d", Statement::IncludeDir("/etc/d".into())),
            ("#included by hand", Statement::Defaults),
        ] {
            assert_eq!(parse(line).unwrap(), expected, "{line}");
        }
        let Statement::Aliases(kind, aliases) =
            parse("Cmnd_Alias A = /bin/a x, !B : C2_D=/bin/c").unwrap()
        else {
            panic!("no aliases")
        };
        assert_eq!(kind, AliasKind::Command);
        assert_eq!((aliases[0].0.as_str(), texts(&aliases[0].1)), ("A", "/bin/a x,!B".to_owned()));
        assert_eq!((aliases[1].0.as_str(), texts(&aliases[1].1)), ("C2_D", "/bin/c".to_owned()));
    }

    #[test]
    fn a_line_that_cannot_be_read_says_where() {
        for (line, what) in [
            ("alice", "expected a host at the end of the line"),
            ("alice ALL", "expected `=` at the end of the line"),
            ("alice ALL=", "expected a command at the end of the line"),
            ("alice ALL=(root ALL", "expected `)` before `ALL`"),
            ("alice ALL=ls", "expected a command before `ls`"),
            ("alice ALL=/bin/x a=b", "expected `:` before `=b`"),
            ("alice ALL=NOPASSWORD: ALL", "expected `=` at the end of the line"),
            ("alice ALL=ALL,", "expected a command at the end of the line"),
            (", ALL=ALL", "expected a user or a group before `, ALL=ALL`"),
            ("#1x ALL=ALL", "`#1x` is not a number of a user or a group"),
            ("\"alice ALL=ALL", "a quote is not closed in `\\\"alice ALL=ALL`"),
            ("User_Alias admins = a", "`admins` is not a name for an alias"),
            ("User_Alias ALL = a", "`ALL` is not a name for an alias"),
            ("User_Alias A a", "expected `=` before `a`"),
            ("@include", "expected a path after `@include` in `@include`"),
            ("@include a b", "expected the end of the line before `b`"),
        ] {
            assert_eq!(parse(line).unwrap_err(), what, "{line}");
        }
    }
}
