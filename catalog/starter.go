package catalog

import (
	"fmt"
	"io/fs"
	"strings"
)

// starterEnd ends the names of starters' files, so that no tool takes them for what they will be.
const starterEnd = ".tmpl"

// Starters lists the stacks that there is a starter of an app for.
func Starters() []string {
	entries, err := fs.ReadDir(files, "templates")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// Starter gives the files of a starter by their paths, for an app of that name.
func Starter(stack, name string) (map[string]string, error) {
	if strings.ContainsAny(stack, "/.") || stack == "" {
		return nil, fmt.Errorf("there is no starter for %q", stack)
	}
	from, out := "templates/"+stack, map[string]string{}
	err := fs.WalkDir(files, from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, p)
		out[strings.TrimSuffix(strings.TrimPrefix(p, from+"/"), starterEnd)] = strings.ReplaceAll(string(text), "@NAME@", name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("there is no starter for %q", stack)
	}
	return out, nil
}
