package cloud

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const keyAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

// instanceKey reads this cloud's key, making it at the first start: six letters and digits that tell its bridges,
// cgroups and tables from those of other clouds on the machine.
func instanceKey(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err == nil {
		key := strings.TrimSpace(string(b))
		if len(key) != 6 || strings.Trim(key, keyAlphabet) != "" {
			return "", fail.New(fail.Invalid, "%s does not hold an instance key", file).Then("restore it from a backup; a new one would not find what runs already")
		}
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fail.Wrap(err, fail.Unavailable, "%s cannot be read", file)
	}
	raw := make([]byte, 6)
	_, _ = rand.Read(raw)
	for i := range raw {
		raw[i] = keyAlphabet[int(raw[i])%len(keyAlphabet)]
	}
	if err := os.WriteFile(file, append(raw, '\n'), 0o600); err != nil {
		return "", fail.Wrap(err, fail.Unavailable, "%s cannot be written", file)
	}
	return string(raw), nil
}
