//! Names of units (systemd.unit(5)), and where slices have their cgroups.

/// The longest name that systemd takes, in bytes.
const LONGEST: usize = 255;

/// Whether `name` is one that a unit may have; else why not.
pub fn check_unit_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    if name.len() > LONGEST {
        return Err(format!("{name}: a unit's name has at most {LONGEST} bytes"));
    }
    match name.rsplit_once('.') {
        Some((prefix, suffix)) if !prefix.is_empty() && !suffix.is_empty() => {}
        _ => return Err(format!("{name:?} is no unit's name")),
    }
    if name.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!("{name:?} is no unit's name: it has letters, digits and :-_.\\@ only"))
}

/// The cgroup of the slice `name`, below its manager's: `a-b.slice` is in `a.slice`, so it's
/// `a.slice/a-b.slice`; the root's, `-.slice`, is empty.
pub fn slice_path(name: &str) -> Result<String, String> {
    let refused = || format!("{name:?} is no slice's name");
    check_unit_name(name)?;
    let parts = name.strip_suffix(".slice").ok_or_else(refused)?;
    if parts == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    let mut so_far = String::new();
    for part in parts.split('-') {
        if part.is_empty() || part.split('.').any(str::is_empty) {
            return Err(refused());
        }
        if !so_far.is_empty() {
            so_far.push('-');
            path.push('/');
        }
        so_far.push_str(part);
        path.push_str(&so_far);
        path.push_str(".slice");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_in_those_that_their_name_begins_with() {
        let table = [
            ("system.slice", "system.slice"),
            ("a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice"),
            ("-.slice", ""),
            ("a-b.c.slice", "a.slice/a-b.c.slice"),
        ];
        for (name, expected) in table {
            assert_eq!(slice_path(name).as_deref(), Ok(expected));
        }
        for name in [
            "",
            "a",
            "a.scope",
            ".slice",
            "-a.slice",
            "a--b.slice",
            "a-.slice",
            "a/b.slice",
            "a..b.slice",
        ] {
            assert!(slice_path(name).is_err(), "{name}");
        }
    }

    #[test]
    fn units_have_names_of_some_letters() {
        for name in ["a.scope", "docker-0123.scope", "a\\x2bb.scope", "a@b:c_d.slice"] {
            assert_eq!(check_unit_name(name), Ok(()));
        }
        for name in ["", "a", ".scope", "a.", "a+b.scope", "a b.scope", "a/b.scope", "ä.scope"] {
            assert!(check_unit_name(name).is_err(), "{name}");
        }
    }
}
