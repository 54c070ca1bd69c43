//! Reads etc/group.

use crate::lines::{Parsed, name, number, parse_lines};

/// One group of etc/group. Its password field is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) gid: u32,
    /// Accounts that are members beside those whose primary group it is.
    pub(crate) members: Vec<String>,
    /// Where it stands in the file.
    pub(crate) line: usize,
}

/// Reads etc/group.
pub(crate) fn parse(bytes: &[u8]) -> Parsed<Group> {
    parse_lines(bytes, |line, text| {
        let fields: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
        let group = name(fields[0], "group")?;
        let [_, _, gid, members] = fields[..] else {
            return Err(format!("{} fields where a group has 4", fields.len()));
        };
        let gid = number(gid, "gid")?;
        let members = members
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
            .map(|member| name(member, "member's"))
            .collect::<Result<_, _>>()?;
        Ok(Group { name: group, gid, members, line })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_number_and_members() {
        let parsed = parse(b"wheel:x:10:root,alice\nempty:x:11:\nblanks:x:12:a, b,\n");
        assert_eq!(parsed.faults, []);
        assert_eq!(parsed.entries[0].members, ["root", "alice"]);
        assert_eq!(parsed.entries[1].members, [""; 0]);
        assert_eq!(parsed.entries[2].members, ["a", "b"]);
    }

    #[test]
    fn a_line_that_is_no_group_says_what_is_wrong() {
        for (line, what) in [
            ("wheel:x:10", "3 fields where a group has 4"),
            ("wheel:x:ten:", "the gid `ten` is not a number"),
            ("wheel:x:1:a\u{7}b", "the member's name `a\\u{7}b` has blanks or control characters"),
            ("+:::", "`+` asks for NIS entries, which no file lists"),
        ] {
            let parsed = parse(line.as_bytes());
            assert_eq!((parsed.entries.len(), parsed.faults[0].what.as_str()), (0, what), "{line}");
        }
    }
}
