use super::Format;
use serde_json::json;

/// What stands in an error's body instead of credentials; `None` where that is the usual problem document.
///
/// Somebody may have a shell run it: `eval "$(curl …)"` without `-f`. So it holds nothing but what is written here, the
/// status and the code, and in a shell it says so on stderr and fails.
#[must_use]
pub fn refusal(format: Format, status: u16, code: &'static str) -> Option<String> {
    let words = format!("Hallpass: no credentials ({status} {code}). Without format= the same request says more.");
    Some(match format {
        Format::Json => return None,
        Format::Process => format!("{}\n", json!({"code": code, "message": words})),
        // The same text is right in each of them, with `eval $(…)` unquoted too.
        Format::Env | Format::Fish => format!("echo '{words}' >&2; false\n"),
        Format::PowerShell => format!("throw '{words}'\n"),
        // A shell of its own: what `for /f` runs is not looked through for `&` and `>` again.
        Format::Cmd => format!("cmd /c \"echo {words} 1>&2 & exit 1\"\r\n"),
        Format::Ini => format!("# {words}\n"),
    })
}
