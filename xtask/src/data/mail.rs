//! The readable part of a mail: subject and body, without what gives the mailbox away.

use mail_parser::MessageParser;

use super::splits::tidy;

/// Characters of a mail that are kept.
const MAX_CHARS: usize = 2000;

/// Subject and first readable body (HTML as text) with white space collapsed, cut at 2000 characters. Addresses
/// become `emailaddr` and links `httpaddr`, since they tell which mailbox a mail came from and not what it says.
/// None when nothing readable is there.
pub(crate) fn readable(mail: &str) -> Option<String> {
    // The collection's files begin with the line of a mailbox file.
    let mail = match mail.strip_prefix("From ") {
        Some(rest) => rest.split_once('\n').map_or("", |(_, rest)| rest),
        None => mail,
    };
    let message = MessageParser::default().parse(mail.as_bytes())?;
    let body = message.body_text(0).unwrap_or_default();
    let whole = format!("{} {}", message.subject().unwrap_or_default(), body);
    let masked: Vec<String> = whole.split_whitespace().map(mask).collect();
    let text: String = masked.join(" ").chars().take(MAX_CHARS).collect();
    let text = tidy(&text);
    (!text.is_empty()).then_some(text)
}

/// A word with its address or link replaced, set off by spaces; punctuation around stays.
fn mask(word: &str) -> String {
    let at = ["http://", "https://", "www."].iter().filter_map(|start| word.find(start)).min();
    let (replacement, start, end) = match at {
        Some(start) => {
            let end = word[start..].find(['>', '"', ')', '<']).map_or(word.len(), |n| start + n);
            ("httpaddr", start, end)
        }
        None => {
            let Some(at) = word.find('@') else { return word.into() };
            let part = |c: char| c.is_alphanumeric() || "._-+=%".contains(c);
            let before = word[..at].chars().rev().take_while(|c| part(*c)).map(char::len_utf8).sum::<usize>();
            let after = word[at + 1..].chars().take_while(|c| part(*c)).map(char::len_utf8).sum::<usize>();
            if before == 0 || after == 0 {
                return word.into();
            }
            ("emailaddr", at - before, at + 1 + after)
        }
    };
    format!("{} {replacement} {}", &word[..start], &word[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_subject_and_body_and_masks_addresses() {
        let mail = "From a@b  Thu Aug 22\nFrom: a@b.c\nSubject: Hello\n\nwrite <me@x.org>, see\nhttp://x.org/?a=1 now\n";
        assert_eq!(readable(mail).unwrap(), "Hello write < emailaddr >, see httpaddr now");
        assert_eq!(readable("From x\nSubject: \n\n \n"), None);
        assert_eq!(mask("@home"), "@home");
    }

    #[test]
    fn html_and_encodings_are_undone() {
        let html = "Subject: S\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>Buy <b>now</b></p>";
        assert_eq!(readable(html).unwrap(), "S Buy now");
        let quoted = "Subject: S\nMIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\na=3Db";
        assert_eq!(readable(quoted).unwrap(), "S a=b");
        let long = format!("Subject: S\n\n{}", "x ".repeat(3000));
        assert!(readable(&long).unwrap().len() <= MAX_CHARS);
    }
}
