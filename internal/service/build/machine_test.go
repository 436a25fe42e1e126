package build

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestMachineEnv(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string]string{
		"go":  `echo '{"GOPROXY":"https://go.mirror.example,direct","GOSUMDB":"off","GOPRIVATE":"","GOCACHE":"/x"}'`,
		"npm": `echo https://npm.mirror.example/`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("PIP_INDEX_URL", "https://user:password@pip.mirror.example/simple")
	t.Setenv("MAVEN_MIRROR_URL", "https://maven.mirror.example/all")
	t.Setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:3141/simple")
	want := []string{"GOPROXY=https://go.mirror.example,direct", "GOSUMDB=off", "NPM_CONFIG_REGISTRY=https://npm.mirror.example/", "MAVEN_MIRROR_URL=https://maven.mirror.example/all"}
	if got := MachineEnv(context.Background()); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
