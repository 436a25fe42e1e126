package client

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Profiles is what awan login remembers.
type Profiles struct {
	Current  string            `json:"current"`
	Profiles map[string]Target `json:"profiles"`
}

// ReadProfiles reads path; a file that is not there is empty.
func ReadProfiles(path string) (Profiles, error) {
	p := Profiles{Profiles: map[string]Target{}}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return p, fail.Wrap(err, fail.Denied, "%s cannot be read", path)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fail.Wrap(err, fail.Invalid, "%s is not what awan login writes", path).Then("remove it and log in again")
	}
	if p.Profiles == nil {
		p.Profiles = map[string]Target{}
	}
	return p, nil
}

// Write replaces path in one step, readable by its owner only.
func (p Profiles) Write(path string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fail.Wrap(err, fail.Internal, "the profiles cannot be written")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail.Wrap(err, fail.Denied, "%s cannot be made", filepath.Dir(path))
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*")
	if err != nil {
		return fail.Wrap(err, fail.Denied, "%s cannot be written", path)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before matters
		return fail.Wrap(err, fail.Denied, "%s cannot be written", path)
	}
	return nil
}
