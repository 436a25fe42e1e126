package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/catalog"
	"github.com/awancloud/awan/internal/kernel/fail"
)

func (s *session) appCmd() *cobra.Command {
	var stack, name string
	all := catalog.Starters()
	init := &cobra.Command{Use: "init [DIR]", Short: "write the beginning of an app into a folder",
		Long: "Write the beginning of an app into a folder: a program that answers, and an awan.yaml that describes it. Nothing that is\n" +
			"there already is changed.",
		Example: examples("awan app init shop --stack go", "awan app init --stack static && awan deploy"), Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}}
	init.Flags().StringVar(&stack, "stack", "", "what it is written in: "+strings.Join(all, ", ")+" (`STACK`)")
	init.Flags().StringVar(&name, "name", "", "the app's `NAME`; the folder's when empty")
	complete(init, "stack", all...)
	init.RunE = func(_ *cobra.Command, args []string) error {
		dir := "."
		if len(args) == 1 {
			dir = args[0]
		}
		if stack == "" {
			return usagef("say what it is written in: --stack %s", strings.Join(all, ", "))
		}
		if name == "" {
			name = nameOf(dir)
		}
		if name == "" || name != nameOf(name) {
			return usagef("%q is no name for an app: use lower-case letters, digits and hyphens with --name", name)
		}
		return s.initApp(dir, stack, name, all)
	}
	return group("app", "begin a new app", "Begin a new app.", init)
}

func (s *session) initApp(dir, stack, name string, all []string) error {
	files, err := catalog.Starter(stack, name)
	if err != nil {
		return fail.Field("stack", "there is no starter for %q", stack).Then("choose one of %s", strings.Join(all, ", "))
	}
	for f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f)); err == nil {
			return fail.New(fail.Exists, "%s is there already", filepath.Join(dir, f)).Then("choose an empty folder")
		}
	}
	for f, text := range files {
		to := filepath.Join(dir, f)
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.WriteFile(to, []byte(text), 0o644)
		}
		if err != nil {
			return fail.Wrap(err, fail.Denied, "%s cannot be written", to)
		}
		fmt.Fprintln(s.Stderr, "wrote "+clean(to))
	}
	fmt.Fprintf(s.Stderr, "next: awan deploy %s\n", clean(dir))
	return nil
}
