package build_test

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// zipped makes an archive of files.
func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range files {
		f, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestStacksThatTakeLong goes from an upload to a page for stacks whose base images take a minute or more.
func TestStacksThatTakeLong(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("making these base images takes minutes: AWAN_LONG=1 runs it")
	}
	c := open(t, newTestNet(t))
	maker := &build.Maker{Engine: c.engine, Stacks: c.stacks, Registry: c.registry, Dir: t.TempDir()}
	for _, x := range []struct {
		name, stack, path, says string
		files                   map[string]string
	}{
		{"war", "war", "/?who=Tomcat", "Hello, Tomcat: 4", map[string]string{
			"index.jsp": `<%@ page contentType="text/html; charset=UTF-8" %>Hello, ${param.who}: <%= 2 + 2 %>`,
			"WEB-INF/web.xml": `<?xml version="1.0" encoding="UTF-8"?>
<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="5.0"><display-name>shop</display-name></web-app>`}},
		{"node22", "node", "/", "v22.", map[string]string{
			"package.json": `{"name": "shop", "main": "index.js", "engines": {"node": "^22"}, "dependencies": {"left-pad": "1.3.0"}}`,
			"index.js":     `require('http').createServer((q, r) => r.end(require('left-pad')(process.version, 12))).listen(process.env.PORT)`}},
		{"maven", "java", "/", "Hello from Maven", example(t, "maven", "pom.xml", "src/main/java/hello/Main.java")},
		{"composer", "php", "/", "Hello from the library", map[string]string{
			"composer.json":             `{"name": "awan/shop", "require": {"awan/greeting": "*"}, "repositories": [{"packagist.org": false}, {"type": "path", "url": "greeting", "options": {"symlink": false}}]}`,
			"greeting/composer.json":    `{"name": "awan/greeting", "version": "1.0.0", "autoload": {"psr-4": {"Awan\\": "src/"}}}`,
			"greeting/src/Greeting.php": `<?php namespace Awan; class Greeting { public static function say() { return 'Hello from the library'; } }`,
			"public/index.php":          `<?php require __DIR__ . '/../vendor/autoload.php'; echo Awan\Greeting::say();`}},
	} {
		t.Run(x.name, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "upload")
			if err := os.WriteFile(archive, zipped(t, x.files), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
			defer cancel()
			out, err := maker.Build(ctx, build.Request{ID: id.New(), Project: "p1", Name: x.name, Archive: archive}, printer{t, time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.Stack, x.stack) {
				t.Errorf("it was built with %s", out.Stack)
			}
			if body := c.serve(t, out.Result, x.path); !strings.Contains(body, x.says) {
				t.Errorf("no %q in %s", x.says, body)
			}
		})
	}
}

// example reads files of an example.
func example(t *testing.T, name string, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join("../../examples", name, f))
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(b)
	}
	return out
}
