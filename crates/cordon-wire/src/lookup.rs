//! Answers to a lookup on the wire.

use crate::v1;

/// An answer that does not fit its question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{answers} answers to {keys} keys")]
pub struct WireLookupError {
    /// Keys that were asked.
    pub keys: usize,
    /// Answers that came.
    pub answers: usize,
}

/// Reads the source's word on each key, in the order in which they were asked. A word that is not
/// known says nothing of its key; it must not go missing, or all others would speak of other keys.
pub fn presences_from_wire(
    answer: &v1::LookupResponse,
    keys: usize,
) -> Result<Vec<v1::Presence>, WireLookupError> {
    let answers = answer.presences.len();
    if answers != keys {
        return Err(WireLookupError { keys, answers });
    }
    let read = |word: &i32| v1::Presence::try_from(*word).unwrap_or(v1::Presence::Unspecified);
    Ok(answer.presences.iter().map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_not_known_does_not_move_the_others_to_other_keys() {
        let (present, absent) = (v1::Presence::Present, v1::Presence::Absent);
        let answer = v1::LookupResponse { presences: vec![77, present.into(), absent.into()] };
        let read = presences_from_wire(&answer, 3).unwrap();
        assert_eq!(read, [v1::Presence::Unspecified, present, absent]);
    }

    #[test]
    fn an_answer_of_another_length_is_refused() {
        let answer = v1::LookupResponse { presences: vec![1] };
        let error = presences_from_wire(&answer, 2).unwrap_err();
        assert_eq!(error.to_string(), "1 answers to 2 keys");
    }
}
