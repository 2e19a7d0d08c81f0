//! The numbers of a transaction: whether there are any, and which.

use tocsin_config::AuthenticationType;
use tocsin_model::{ErrorCode, NumberMatch, NumberMatchRule, Problem, StartRequest, TwoDigits};

use super::random_bytes;

/// The type's matching, or what the portal asks for, which may be stricter but not looser.
pub(super) fn stricter_number_match(
    request: &StartRequest,
    kind: &AuthenticationType,
) -> Result<NumberMatchRule, Problem> {
    match request.number_match {
        None => Ok(kind.number_match),
        Some(asked) if asked >= kind.number_match => Ok(asked),
        Some(_) => {
            let detail = format!("the type asks for {:?} at least", kind.number_match.as_str());
            Err(Problem::new(ErrorCode::InvalidField, detail).with_field("number_match"))
        }
    }
}

/// Draws the numbers of a transaction, each as likely as the others, and where the right one stands.
pub(super) fn draw_number(rule: NumberMatchRule) -> Result<Option<NumberMatch>, Problem> {
    let right = match rule {
        NumberMatchRule::Off => return Ok(None),
        NumberMatchRule::Type => return Ok(Some(NumberMatch { right: two_digits()?, choices: None })),
        NumberMatchRule::Choose => two_digits()?,
    };
    let mut others = Vec::with_capacity(2);
    while others.len() < 2 {
        let other = two_digits()?;
        if other != right && !others.contains(&other) {
            others.push(other);
        }
    }
    let (first, second) = (others[0], others[1]);
    let choices = match random_below(3)? {
        0 => [right, first, second],
        1 => [first, right, second],
        _ => [first, second, right],
    };
    Ok(Some(NumberMatch { right, choices: Some(choices) }))
}

fn two_digits() -> Result<TwoDigits, Problem> {
    TwoDigits::new(random_below(100)?).ok_or_else(Problem::internal)
}

/// An unpredictable number below `bound`, without a leaning: a byte beyond its last whole multiple is drawn anew.
fn random_below(bound: u8) -> Result<u8, Problem> {
    loop {
        let [byte] = random_bytes()?;
        if byte < u8::MAX - u8::MAX % bound {
            return Ok(byte % bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_numbers_stand_in_any_order_and_the_right_one_among_them() {
        let mut places = [0; 3];
        for _ in 0..400 {
            let drawn = draw_number(NumberMatchRule::Choose).expect("random").expect("a number");
            let choices = drawn.choices.expect("three");
            let [first, second, third] = choices;
            assert!(first != second && second != third && first != third);
            let place = choices.iter().position(|number| *number == drawn.right).expect("the right one");
            places[place] += 1;
        }
        // Each is expected 133 times; fewer than 50 would come once in 10^15 runs.
        assert!(places.iter().all(|count| *count >= 50), "{places:?}");
    }

    #[test]
    fn every_number_is_drawn_and_a_loose_rule_draws_none() {
        assert_eq!(draw_number(NumberMatchRule::Off).expect("random"), None);
        let mut seen = std::collections::HashSet::new();
        // Any one of a hundred is missed by 4,000 draws once in 10^15 runs.
        for _ in 0..4_000 {
            let drawn = draw_number(NumberMatchRule::Type).expect("random").expect("a number");
            assert_eq!(drawn.choices, None);
            seen.insert(drawn.right.get());
        }
        assert_eq!(seen.len(), 100);
    }
}
