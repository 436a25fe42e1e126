package build_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/build"
)

// mirrorAddress is this machine's for the length of a test: an address that no network has (RFC 5737).
const mirrorAddress = "198.51.100.77"

// serveFolder serves files at an address that build steps reach, and gives that and its port.
func serveFolder(t *testing.T, dir string) (url, port string) {
	t.Helper()
	if out, err := exec.Command("ip", "addr", "add", mirrorAddress+"/32", "dev", "lo").CombinedOutput(); err != nil {
		t.Skipf("no address can be added: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "addr", "del", mirrorAddress+"/32", "dev", "lo").Run() })
	l, err := net.Listen("tcp", mirrorAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return "http://" + l.Addr().String(), port
}

// run runs a command in a folder.
func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// artifact compiles a class and puts its jar and its POM into a Maven repository.
func artifact(t *testing.T, repository, name, class, java, more string) {
	t.Helper()
	src, at := t.TempDir(), filepath.Join(repository, "com/corp", name, "1.0")
	write(t, src+"/"+class+".java", "package com.corp; "+java)
	write(t, at+"/"+name+"-1.0.pom", "<project><modelVersion>4.0.0</modelVersion><groupId>com.corp</groupId><artifactId>"+name+"</artifactId><version>1.0</version>"+more+"</project>")
	jars, err := filepath.Glob(repository + "/com/corp/*/1.0/*.jar")
	if err != nil {
		t.Fatal(err)
	}
	run(t, src, "javac", "-cp", strings.Join(append(jars, "."), ":"), "-d", "out", class+".java")
	run(t, src, "jar", "--create", "--file", at+"/"+name+"-1.0.jar", "-C", "out", ".")
}

const (
	shopMain = `package shop;
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
public class Main {
	public static void main(String[] args) throws Exception {
		HttpServer s = HttpServer.create(new InetSocketAddress(Integer.parseInt(System.getenv("PORT"))), 0);
		s.createContext("/", e -> { byte[] b = com.corp.Greeting.to("shop").getBytes(); e.sendResponseHeaders(200, b.length); e.getResponseBody().write(b); e.close(); });
		s.start();
	}
}
`
	parentPOM = `<project><modelVersion>4.0.0</modelVersion><groupId>com.corp</groupId><artifactId>parent</artifactId><version>1.0</version><packaging>pom</packaging>
<properties><maven.compiler.source>17</maven.compiler.source><maven.compiler.target>17</maven.compiler.target><project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
<dependencyManagement><dependencies><dependency><groupId>com.corp</groupId><artifactId>greeting</artifactId><version>1.0</version></dependency></dependencies></dependencyManagement></project>`
	shopPOM = `<project><modelVersion>4.0.0</modelVersion><parent><groupId>com.corp</groupId><artifactId>parent</artifactId><version>1.0</version></parent>
<groupId>org.example</groupId><artifactId>shop</artifactId><version>1.0</version>
<dependencies><dependency><groupId>com.corp</groupId><artifactId>greeting</artifactId></dependency></dependencies></project>`
	wordsOf = `<dependencies><dependency><groupId>com.corp</groupId><artifactId>words</artifactId><version>1.0</version></dependency></dependencies>`
)

// TestJavaWithLibraries builds programs that need libraries of libraries, of one module and of several, where there is nothing
// but a mirror that the machine names.
func TestJavaWithLibraries(t *testing.T) {
	if os.Getenv("AWAN_LONG") == "" {
		t.Skip("AWAN_LONG=1 runs it")
	}
	for _, program := range []string{"javac", "jar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing: apt-get install openjdk-17-jdk-headless", program)
		}
	}
	mirror := t.TempDir()
	artifact(t, mirror, "words", "Words", `public class Words { public static String hello() { return "Hello"; } }`, "")
	artifact(t, mirror, "greeting", "Greeting", `public class Greeting { public static String to(String who) { return Words.hello() + ", " + who; } }`, wordsOf)
	write(t, mirror+"/com/corp/parent/1.0/parent-1.0.pom", parentPOM)
	url, port := serveFolder(t, mirror)
	c := open(t, newTestNet(t, port), "MAVEN_MIRROR_URL="+url)
	maker := &build.Maker{Engine: c.engine, Stacks: c.stacks, Registry: c.registry, Dir: t.TempDir()}

	whole := func(t *testing.T, name string, files map[string]string) {
		t.Helper()
		archive := filepath.Join(t.TempDir(), "upload")
		if err := os.WriteFile(archive, zipped(t, files), 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
		defer cancel()
		out, err := maker.Build(ctx, build.Request{ID: id.New(), Project: "p1", Name: name, Archive: archive}, printer{t, time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		if body := c.serve(t, out.Result, "/"); body != "Hello, shop" {
			t.Errorf("it says %q", body)
		}
	}
	t.Run("maven", func(t *testing.T) {
		whole(t, "maven", map[string]string{"pom.xml": shopPOM, "src/main/java/shop/Main.java": shopMain})
	})
	t.Run("modules", func(t *testing.T) {
		module := func(name, more string) string {
			return `<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.example</groupId><artifactId>all</artifactId><version>1.0</version></parent><artifactId>` + name + `</artifactId>` + more + `</project>`
		}
		whole(t, "modules", map[string]string{
			"pom.xml": strings.Replace(shopPOM, "<artifactId>shop</artifactId><version>1.0</version>",
				"<artifactId>all</artifactId><version>1.0</version><packaging>pom</packaging><modules><module>core</module><module>web</module></modules>", 1),
			"core/pom.xml":                      module("core", ""),
			"core/src/main/java/shop/Core.java": "package shop; public class Core { public static String to() { return com.corp.Greeting.to(\"shop\"); } }",
			"web/pom.xml":                       module("web", `<dependencies><dependency><groupId>org.example</groupId><artifactId>core</artifactId><version>1.0</version></dependency></dependencies>`),
			"web/src/main/java/shop/Main.java":  strings.Replace(shopMain, `com.corp.Greeting.to("shop")`, "Core.to()", 1),
		})
	})
}
