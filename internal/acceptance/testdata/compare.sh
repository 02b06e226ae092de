#!/bin/sh
# usage: compare.sh DATA ORIGINALS LIST
#
# Compares the values in the data directory DATA of a stopped node with original files, with nothing but standard tools. LIST
# holds paths below ORIGINALS, one a line; the keys are these paths. Each must have its file in DATA that begins with the original's
# bytes, and DATA must hold no other value. Prints what differs, then 'N values, D differences'; the exit code is 0 if D is.
#
# A value lies in DATA/keys/pPARTITION.gGENERATION/NAME. The last line of the file tells how long the value is:
#	estoraje1 value     length 00000000000000001024 trailer ...
set -eu
export LC_ALL=C
data=$1 originals=$2 list=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The file name of a key is k- and the key, in which all but A-Z a-z 0-9 - . _ ~ are written as % and two digits.
sed -e 's/%/%25/g' -e 's/ /%20/g' -e 's/!/%21/g' -e 's/"/%22/g' -e 's/#/%23/g' -e 's/\$/%24/g' -e 's/&/%26/g' \
	-e "s/'/%27/g" -e 's/(/%28/g' -e 's/)/%29/g' -e 's/\*/%2A/g' -e 's/+/%2B/g' -e 's/,/%2C/g' -e 's,/,%2F,g' \
	-e 's/:/%3A/g' -e 's/;/%3B/g' -e 's/</%3C/g' -e 's/=/%3D/g' -e 's/>/%3E/g' -e 's/?/%3F/g' -e 's/@/%40/g' \
	-e 's/\[/%5B/g' -e 's/\\/%5C/g' -e 's/\]/%5D/g' -e 's/\^/%5E/g' -e 's/`/%60/g' -e 's/{/%7B/g' -e 's/|/%7C/g' \
	-e 's/}/%7D/g' -e 's/^/k-/' "$list" >"$work/names"
if grep -n -e '[^]A-Za-z0-9._~%-]' -e '.\{256\}' "$work/names"; then
	echo "compare.sh: these keys are not ASCII, or too long for a readable file name" >&2
	exit 2
fi

# Wanted: name and checksum of each original. (sha256sum begins a line with \ if there is one in the file's name.)
(cd "$originals" && tr '\n' '\0' <"$list" | xargs -0 sha256sum) | sed -e 's/^\\//' | cut -c 1-64 | paste -d ' ' "$work/names" - | sort >"$work/want"

# Found: name and checksum of each value, as long as its last line says. Deleted keys are in subfolders.
cd "$data/keys"
find . -mindepth 2 -maxdepth 2 -type f >"$work/files"
xargs tail -q -n 1 <"$work/files" | paste -d ' ' "$work/files" - |
	while read -r file _ kind _ length _; do
		if [ "$kind" != value ]; then
			echo "${file##*/} is no value but: $kind"
			continue
		fi
		sum=$(head -c "$length" "$file" | sha256sum)
		echo "${file##*/} ${sum%% *}"
	done | sort >"$work/have"

comm -3 "$work/want" "$work/have" | sed -e 's/^\t/found: /' -e t -e 's/^/wanted: /' >"$work/differences"
head -n 20 "$work/differences"
differences=$(wc -l <"$work/differences")
echo "$(wc -l <"$work/have") values, $differences differences"
[ "$differences" -eq 0 ]
