package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// bashWords stands in for a function of the package bash-completion where that is not installed.
const bashWords = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref() {
        read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
        [[ "${COMP_LINE:0:COMP_POINT}" == *[[:space:]] ]] && words+=("")
        cword=$((${#words[@]} - 1))
        cur="${words[cword]}"
        prev="${words[cword > 0 ? cword - 1 : 0]}"
    }
fi
`

func (s *session) completionCmd() *cobra.Command {
	shells := []struct {
		name, example string
		write         func(*cobra.Command, io.Writer) error
	}{
		{"bash", "source <(awan completion bash)                               # put it into ~/.bashrc to have it always", func(root *cobra.Command, w io.Writer) error {
			if _, err := io.WriteString(w, bashWords); err != nil {
				return err
			}
			return root.GenBashCompletionV2(w, true)
		}},
		{"zsh", `awan completion zsh > "${fpath[1]}/_awan"                     # then start a new shell`, (*cobra.Command).GenZshCompletion},
		{"fish", "awan completion fish > ~/.config/fish/completions/awan.fish   # then start a new shell", func(root *cobra.Command, w io.Writer) error {
			return root.GenFishCompletion(w, true)
		}},
	}
	var names, lines []string
	for _, sh := range shells {
		names, lines = append(names, sh.name), append(lines, sh.example)
	}
	return &cobra.Command{Use: "completion bash|zsh|fish", Short: "print what makes your shell complete awan's words with Tab",
		Long:    "Print what makes your shell complete commands, flags, their values, and the names of your resources with Tab.",
		Example: examples(lines...), ValidArgs: names, Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, sh := range shells {
				if sh.name == args[0] {
					if err := sh.write(cmd.Root(), s.Stdout); err != nil {
						return fail.Wrap(err, fail.Unavailable, "the script cannot be written")
					}
				}
			}
			return nil
		}}
}
