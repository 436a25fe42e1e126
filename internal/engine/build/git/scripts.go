package git

import (
	"bufio"
	"net/url"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/service/build"
)

// takeScript adds the tree of one commit to /job/source.tar, and those of its submodules, without ever checking a file out.
// Its arguments are the address, the ref, the folder, what goes before the names in the tar, and how deep it is; it runs
// itself, as $TAKE, for each submodule. Those of a repository that comes by ssh must lie on the same host, for the outlet leads
// there only; those of one that comes by https are fetched by https, whatever their address says, under the same rule for hosts.
const takeScript = `set -eu
url=$1 ref=$2 folder=$3 prefix=$4 depth=$5
count=1; [ ! -e /job/count ] || count=$(($(cat /job/count) + 1))
echo $count >/job/count
printf '%s\n' "$prefix" "$url" >/job/where
[ $count -le 64 ] || { echo "fatal: there are more than 63 submodules" >&2; exit 1; }
[ "$depth" -le 8 ] || { echo "fatal: submodules are nested deeper than 8" >&2; exit 1; }
git init -q --bare /job/repo$count && cd /job/repo$count
get() { git fetch --no-tags --no-recurse-submodules --progress "$@" </dev/null; }
if [ "$depth" = 0 ]; then
  get --depth=1 "$url" "$ref"; commit=$(git rev-parse FETCH_HEAD^{commit})
  git log -1 --format='%H%n%s' $commit >/job/commit
else
  get --depth=1 "$url" "$ref" || get "$url" '+refs/heads/*:refs/heads/*' # hosts that give out no commit by its id
  commit=$ref
fi
git archive --format=tar --prefix="$prefix" -o /job/part.tar "$commit:$folder"
if [ "$depth" = 0 ]; then mv /job/part.tar /job/source.tar; else tar --concatenate -f /job/source.tar /job/part.tar; fi
modules=$commit:.gitmodules
git cat-file -e $modules 2>/dev/null || exit 0
git config --blob $modules --name-only --get-regexp '^submodule\..*\.path$' >/job/modules$count || exit 0
while IFS= read -r key; do
  name=${key#submodule.}; name=${name%.path}
  path=$(git config --blob $modules --get "$key")
  inner=$path
  if [ -n "$folder" ]; then
    case "$path" in "$folder"/*) inner=${path#"$folder"/} ;; *) continue ;; esac
  fi
  case "/$path/" in */../* | *//*) echo "fatal: the submodule $name lies outside of the repository" >&2; exit 1 ;; esac
  link=$(git ls-tree $commit -- "$path" | sed -n 's/^160000 commit \([0-9a-f]*\).*/\1/p')
  [ -n "$link" ] || continue
  to=$(git config --blob $modules --get "submodule.$name.url")
  case "$to" in ./* | ../*)
    base=${url%/}
    while :; do
      case "$to" in ../*) base=${base%/*} to=${to#../} ;; ./*) to=${to#./} ;; *) break ;; esac
    done
    to=$base/$to ;;
  esac
  case "$to" in *://*) ;; *@*:*) to=$(printf '%s' "$to" | sed 's#:#/#; s#^#ssh://#') ;; esac
  if [ "$SCHEME" = https ]; then
    to=$(printf '%s' "$to" | sed 's#^ssh://\([^@/]*@\)\{0,1\}\([^/:]*\)\(:[0-9]*\)\{0,1\}/#https://\2/#')
  else
    case "$to" in ssh://*@"$HOST"/* | ssh://*@"$HOST":*) ;; *)
      echo "fatal: the submodule $name comes from $to; of a repository that comes by ssh only those on $HOST are fetched" >&2; exit 1 ;;
    esac
  fi
  case "$to" in "$SCHEME"://*) ;; *) echo "fatal: the submodule $name comes from $to, which is not fetched" >&2; exit 1 ;; esac
  echo "fetching the submodule $path from $to" >&2
  sh -c "$TAKE" take "$to" "$link" "" "$prefix$inner/" $((depth + 1)) </dev/null
done </job/modules$count
`

// askScript answers git's questions for a user and a password: those of the repository's own host, and no other's, whatever
// submodules and redirects lead to.
const askScript = `#!/bin/sh
read -r host </job/host
case "$1" in
"Username for 'https://$host'"*) cat /job/user ;;
"Password for 'https://"*"@$host'"*) cat /job/password ;;
*) exit 1 ;;
esac
`

// explainAt is explain for what failed at the repository or at one of its submodules.
func explainAt(dir string, err error, u *url.URL, from build.Repository) error {
	f, ferr := take(dir, "where")
	if ferr != nil {
		return explain(err, u, from)
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewScanner(f)
	if !in.Scan() || in.Text() == "" {
		return explain(err, u, from)
	}
	prefix := in.Text()
	if !in.Scan() {
		return explain(err, u, from)
	}
	if sub, perr := url.Parse(in.Text()); perr == nil {
		u = sub
	}
	e := *fail.From(explain(err, u, build.Repository{Ref: "commit of that id"}))
	e.Message = "submodule " + prefix[:len(prefix)-1] + ": " + e.Message
	return &e
}
