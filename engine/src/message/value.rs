//! Values from outside, made fit to stand in a text that a user trusts.

/// `text` on one line, without characters that control, turn or hide parts of it, and cut to `characters_max`.
pub(super) fn one_line(text: &str, characters_max: usize) -> String {
    let visible = text.chars().map(|character| if character.is_whitespace() { ' ' } else { character });
    let visible: String =
        visible.filter(|character| !is_hidden(*character)).take(4 * characters_max).collect();
    let words = visible.split(' ').filter(|word| !word.is_empty());
    shortened(&words.collect::<Vec<_>>().join(" "), characters_max)
}

/// `text`, whose end gives way to an ellipsis where it has more than `characters_max` characters.
pub(super) fn shortened(text: &str, characters_max: usize) -> String {
    if text.chars().nth(characters_max).is_none() {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Characters that take no place of their own or change how others stand.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}' | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_line_of_visible_characters() {
        for (value, expected) in [
            ("Köln", "Köln"),
            ("  a \n\t b\r\n", "a b"),
            ("12\u{202e}05\u{0}", "1205"),
            ("a\u{200b}\u{feff}b\u{e0041}", "ab"),
            ("\u{7f}\u{9b}", ""),
            ("東京", "東京"),
        ] {
            assert_eq!(one_line(value, 64), expected, "{value:?}");
        }
    }

    #[test]
    fn a_value_is_cut_between_characters() {
        assert_eq!(one_line(&"ä".repeat(5), 5), "äääää");
        assert_eq!(one_line(&"ä".repeat(6), 5), "ääää…");
        assert_eq!(shortened("ab cd", 4), "ab…");
        assert_eq!(one_line(&"x".repeat(1 << 20), 3), "xx…");
        assert_eq!(shortened("abc", 0), "…");
    }
}
