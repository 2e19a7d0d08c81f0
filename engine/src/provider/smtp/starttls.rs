//! The dialogue in clear before TLS: greeting, EHLO, STARTTLS (RFC 3207).
//!
//! It is our own, and not the library's, for one reason: what arrives in clear behind the last reply was written by
//! somebody in the middle to be read inside of TLS, and ends the connection.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::response::Trouble;

/// Longest reply in bytes.
const REPLY_BYTES_MAX: usize = 8 * 1_024;

/// Brings a server to the point where TLS begins.
pub(super) async fn ask<S>(stream: &mut S, hello: &str) -> Result<(), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    expect(&reply(stream).await?, 220)?;
    say(stream, &format!("EHLO {hello}\r\n")).await?;
    let offers = reply(stream).await?;
    expect(&offers, 250)?;
    let is_offer =
        |line: &&str| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
    if !offers.lines().any(|line| is_offer(&line)) {
        return Err(Trouble::NoTls);
    }
    say(stream, "STARTTLS\r\n").await?;
    expect(&reply(stream).await?, 220)
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> Result<(), Trouble> {
    stream.write_all(line.as_bytes()).await.map_err(|_| Trouble::Cut)?;
    stream.flush().await.map_err(|_| Trouble::Cut)
}

fn expect(reply: &str, wanted: u16) -> Result<(), Trouble> {
    match reply.get(..3).and_then(|code| code.parse().ok()) {
        Some(code) if code == wanted => Ok(()),
        Some(code @ 400..=599) => Err(Trouble::Reply(code)),
        Some(_) | None => Err(Trouble::Cut),
    }
}

/// One whole reply with nothing behind it: the server has to wait for our next word.
async fn reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<String, Trouble> {
    let mut received = Vec::new();
    loop {
        if let Some(end) = end_of_reply(&received) {
            if end < received.len() {
                return Err(Trouble::Injected);
            }
            return String::from_utf8(received).map_err(|_| Trouble::Cut);
        }
        if received.len() > REPLY_BYTES_MAX {
            return Err(Trouble::Cut);
        }
        if stream.read_buf(&mut received).await.map_err(|_| Trouble::Cut)? == 0 {
            return Err(Trouble::Cut);
        }
    }
}

/// Where a reply ends: behind the first line that has no hyphen after its code.
fn end_of_reply(received: &[u8]) -> Option<usize> {
    let mut begin = 0;
    while let Some(length) = received[begin..].iter().position(|byte| *byte == b'\n') {
        let line = &received[begin..begin + length];
        begin += length + 1;
        if line.get(3) != Some(&b'-') {
            return Some(begin);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays these replies, each after the line before it, and answers with what was said.
    async fn played(replies: &[&str]) -> (Result<(), Trouble>, Vec<String>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4_096);
        let asking = ask(&mut ours, "bank.example");
        let playing = async {
            let mut said = Vec::new();
            for reply in replies {
                theirs.write_all(reply.as_bytes()).await.expect("room");
                let mut line = vec![0; 256];
                let read = theirs.read(&mut line).await.expect("a pipe");
                said.push(String::from_utf8_lossy(&line[..read]).into_owned());
            }
            said
        };
        tokio::select! {
            ended = asking => (ended, Vec::new()),
            said = playing => (Ok(()), said),
        }
    }

    const OFFER: &str = "250-double\r\n250-starttls\r\n250 SIZE\r\n";

    #[tokio::test]
    async fn a_server_that_has_tls_is_brought_to_it() {
        assert_eq!(played(&["220-a\r\n220 b\r\n", OFFER, "220 go\r\n"]).await.0, Ok(()));
    }

    #[tokio::test]
    async fn everything_else_is_told_apart() {
        for (replies, expected) in [
            (&["220 a\r\n", "250 no tls\r\n"][..], Trouble::NoTls),
            (&["220 a\r\n", "250-NOSTARTTLS\r\n250 x\r\n"], Trouble::NoTls),
            (&["554 no\r\n"], Trouble::Reply(554)),
            (&["220 a\r\n", OFFER, "454 later\r\n"], Trouble::Reply(454)),
            (&["220 a\r\n", OFFER, "220 go\r\n250 injected\r\n"], Trouble::Injected),
            (&["hello\r\n"], Trouble::Cut),
            (&["354 what\r\n"], Trouble::Cut),
            (&["é\r\n"], Trouble::Cut),
        ] {
            assert_eq!(played(replies).await.0, Err(expected), "{replies:?}");
        }
        let endless = "220-x\r\n".repeat(REPLY_BYTES_MAX);
        let (mut ours, mut theirs) = tokio::io::duplex(2 * REPLY_BYTES_MAX);
        let (ended, _) = tokio::join!(ask(&mut ours, "x"), async {
            let _full = theirs.write_all(&endless.as_bytes()[..2 * REPLY_BYTES_MAX]).await;
        });
        assert_eq!(ended, Err(Trouble::Cut));
    }
}
