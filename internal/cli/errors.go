package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/awancloud/awan/internal/cli/client"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Exit codes; exitCodesTopic documents them.
const (
	codeFailed      = 1
	codeUsage       = 2
	codeDenied      = 3
	codeNotFound    = 4
	codeConflict    = 5
	codeUnavailable = 6
	codeInterrupted = 130
)

// errUsage marks mistakes in the command line that only the command's own code can see.
var errUsage = errors.New("usage")

type usageError struct{ text string }

func (e usageError) Error() string { return e.text }
func (usageError) Is(t error) bool { return t == errUsage }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// exitError ends with a code that something else chose: a command that awan ran.
type exitError struct {
	code    int
	because string // told to the user, where the command itself could not
}

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// codeOf turns an error into the exit code.
func codeOf(err error) int {
	var exit exitError
	var job *jobError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &job):
		return codeFailed
	}
	switch fail.KindOf(err) {
	case fail.Invalid:
		return codeUsage
	case fail.Unauthenticated, fail.Denied:
		return codeDenied
	case fail.NotFound, fail.Gone:
		return codeNotFound
	case fail.Exists, fail.Conflict, fail.Precondition, fail.Quota, fail.TooLarge:
		return codeConflict
	case fail.Unavailable, fail.Timeout, fail.RateLimited, fail.NoSpace:
		return codeUnavailable
	case fail.Canceled:
		return codeInterrupted
	}
	return codeFailed
}

// report tells the user what went wrong and gives the exit code.
func (s *session) report(err error) int {
	code := codeOf(err)
	var exit exitError
	if errors.As(err, &exit) {
		if exit.because != "" {
			fmt.Fprintf(s.Stderr, "error: %s\n", clean(exit.because))
		}
		return code
	}
	var job *jobError
	var answered *client.Error
	e := fail.From(err)
	if e.Kind == fail.Internal && e.Cause == err { // no error of ours: the text is all there is
		e = fail.New(fail.Internal, "%v", err)
	}
	text, next := e.Message, e.Next
	switch {
	case errors.As(err, &job):
		text, next = job.Error(), job.next()
	case e.Field != "":
		text = e.Field + ": " + text
		if next == "" {
			next = s.flagOf(e.Field)
		}
	}
	fmt.Fprintf(s.Stderr, "error: %s\n", clean(text))
	if next != "" {
		fmt.Fprintf(s.Stderr, "next: %s\n", clean(next))
	}
	if errors.As(err, &answered) && answered.RequestID != "" {
		fmt.Fprintf(s.Stderr, "request id: %s\n", clean(answered.RequestID))
	}
	return code
}

// flagOf tells by which flag of the command a field is given; "" when there is none.
func (s *session) flagOf(field string) string {
	path := strings.Split(strings.TrimPrefix(field, "spec."), ".")
	if s.ran == nil || s.ran.Flags().Lookup(dotted(path)) == nil {
		return ""
	}
	return "give it as --" + dotted(path) + "; see " + s.ran.CommandPath() + " --help"
}

func unknown(cmd *cobra.Command, word string) error {
	text := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), word)
	if near := cmd.SuggestionsFor(word); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{text}
}

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "what the exit codes mean", Long: `Exit codes of awan:

  0    done
  1    failed: the operation was tried and did not succeed, or something went wrong inside
  2    the command line or a value in it is wrong
  3    not logged in, or not allowed
  4    not found
  5    in the way: exists already, changed meanwhile, still in use, over the quota, too large
  6    not now: the cloud does not answer, a part of it is not available, too slow, too many requests, disk full
  130  interrupted

awan exec ends with the exit code of the command it ran.`}
}

func environmentTopic() *cobra.Command {
	return &cobra.Command{Use: "variables", Short: "how awan finds its cloud, and the variables it reads", Long: `awan looks for its cloud in this order:

  1. --data DIR     the folder of a cloud on this machine: DIR/admin.env, DIR/ca.pem and DIR/listen
  2. --profile NAME what awan login remembered (~/.config/awan/config.json)
  3. AWAN_URL       with the variables below
  4. the profile of the last awan login
  5. the folder that awan up uses when it is told none

Variables:

  AWAN_URL                          https://HOST:PORT
  AWAN_CA                           the cloud's CA: path of a PEM file, or the PEM itself
  AWAN_TOKEN                        a token; or
  AWAN_ACCESS_KEY, AWAN_SECRET_KEY  an access key; or
  AWAN_USER, AWAN_PASSWORD          a log-in, with AWAN_DOMAIN (account)
  AWAN_PROJECT                      the project to work in
  NO_COLOR                          no colours and no spinner`}
}
