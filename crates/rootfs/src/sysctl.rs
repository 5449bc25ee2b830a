//! `linux.sysctl`: the file of a sysctl in a procfs. Decides only the path; it must never write.

/// One sysctl to write.
#[derive(Debug)]
pub(crate) struct Sysctl {
    /// The name in the config.
    pub name: String,
    /// The path relative to the procfs.
    pub path: String,
    pub value: String,
}

impl Sysctl {
    /// Converts a name to a path. The first dot or slash in a name is its separator, and the other
    /// character stands for itself (sysctl(8)).
    pub fn new(name: &str, value: &str) -> Self {
        let slashes =
            name.find(['.', '/']).is_some_and(|at| name.as_bytes().get(at) == Some(&b'/'));
        let path = if slashes {
            name.to_owned()
        } else {
            name.chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    other => other,
                })
                .collect()
        };
        Self { name: name.to_owned(), path: format!("sys/{path}"), value: value.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::Sysctl;

    #[test]
    fn the_first_separator_is_the_separator() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "sys/net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.rp_filter", "sys/net/ipv4/conf/eth0.1/rp_filter"),
            ("net/ipv4/conf/eth0.1/rp_filter", "sys/net/ipv4/conf/eth0.1/rp_filter"),
        ] {
            assert_eq!(Sysctl::new(name, "1").path, path);
        }
    }
}
