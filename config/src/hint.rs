//! "Did you mean": the nearest of the names that are known.

/// The known name nearest to `given`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(given, name), name))
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

/// The hint as the end of a message: the nearest name, or all of them.
pub(crate) fn or_list(given: &str, known: &[&str], list_intro: &str) -> String {
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("; did you mean \"{name}\"?"),
        None if known.is_empty() => format!("; {list_intro}: none"),
        None => format!("; {list_intro}: {}", known.join(", ")),
    }
}

/// Levenshtein's distance: changes of one character that turn one text into the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (left_index, left_character) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = left_index + 1;
        for (right_index, right_character) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left_character != *right_character);
            diagonal = row[right_index + 1];
            row[right_index + 1] = replaced.min(diagonal + 1).min(row[right_index] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_single_changes() {
        for (left, right, expected) in
            [("", "abc", 3), ("ttl", "ttl_s", 2), ("adress", "address", 1), ("a", "a", 0)]
        {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn only_a_near_name_is_a_hint() {
        assert_eq!(nearest("adress", ["address", "workers"]), Some("address"));
        assert_eq!(nearest("colour", ["address", "workers"]), None);
    }
}
