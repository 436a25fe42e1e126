package cli

import (
	"os"

	"golang.org/x/term"
)

// tty is a terminal that one of the standard streams is connected to.
type tty struct {
	fd    int
	state *term.State
}

// terminal gives the terminal behind a stream, or nil.
func terminal(stream any) *tty {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &tty{fd: int(f.Fd())}
}

// size gives columns and rows; 80 by 24 where the terminal does not know.
func (t *tty) size() (cols, rows int) {
	cols, rows, err := term.GetSize(t.fd)
	if err != nil || cols <= 0 || rows <= 0 {
		return 80, 24
	}
	return cols, rows
}

// raw hands every key over as it is, until restore.
func (t *tty) raw() (err error) {
	t.state, err = term.MakeRaw(t.fd)
	return err
}

func (t *tty) restore() {
	if t.state != nil {
		_ = term.Restore(t.fd, t.state) // the terminal went away: nothing to restore
	}
}

// hidden reads a line without showing what is typed.
func (t *tty) hidden() (string, error) {
	b, err := term.ReadPassword(t.fd)
	return string(b), err
}

// terminalWidth is 0 where there is no terminal.
func terminalWidth(stream any) int {
	t := terminal(stream)
	if t == nil {
		return 0
	}
	cols, _ := t.size()
	return cols
}
