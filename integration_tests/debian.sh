# What scripts that make Debian systems share.
# shellcheck shell=bash

# sources RELEASE: prints apt sources for it (deb822), of the host's own mirror where it is a Debian
sources() {
    local file=/etc/apt/sources.list.d/debian.sources own
    own=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
    if [ -e "$file" ]; then
        sed "s/^\(Suites:.*\)\b$own-updates\b/\1/; s/\b$own\b/$1/" "$file"
    else
        printf 'Types: deb\nURIs: http://deb.debian.org/debian\nSuites: %s\nComponents: main\n' "$1"
        printf 'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n'
    fi
}
