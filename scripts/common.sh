# SPDX-License-Identifier: BSD-3-Clause
# What the shell scripts share; to be sourced, not run. Sets $root to the top of the tree.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LC_ALL=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1

# Lines for people go to standard error, so that a script's output can be used by another.
say() { printf '%s\n' "$*" >&2; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# With set -e a script would end without a word.
trap 'printf "%s: line %s failed: %s\n" "$(basename "$0")" "$LINENO" "$BASH_COMMAND" >&2' ERR

# The comment block at the top of the calling script is its help.
show_help() {
	awk 'NR > 2 && !/^#/ { exit } NR > 2 { sub(/^# ?/, ""); print }' "$0"
	exit 0
}

# The system's own Python first: Debian's meson runs under it, too.
python_path() {
	if [ -x /usr/bin/python3 ]; then
		echo /usr/bin/python3
	else
		command -v python3 || die "python3 is missing: run scripts/setup --demo"
	fi
}

package_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]
}

# Configure a build directory once; later calls leave it as it is: configure DIRECTORY [OPTION...]
configure() {
	local dir=$1
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$root" "$@" >&2
}
