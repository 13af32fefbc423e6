package testbed

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// NodeImage is an image that every real node has: Debian's busybox, with all its commands. There is no
// registry to get another from.
const NodeImage = "testbed.koinon.io/busybox:1"

// idleCommand is what the image does when nothing else is asked of it, which is what it is asked as the
// container that holds the namespaces of a pod. Seconds: more than thirty years.
var idleCommand = []string{"sleep", "1000000000"}

// writeNodeImage packs NodeImage of a busybox that needs no libraries, as "ctr images import" takes it.
func writeNodeImage(ctx context.Context, busybox, file string) error {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return fmt.Errorf("read busybox: %w", err)
	}
	commands, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return fmt.Errorf("list the commands of %s: %w", busybox, err)
	}
	layer, err := archive(busyboxRoot(program, strings.Fields(string(commands))))
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Env": []string{"PATH=/bin"}, "Cmd": idleCommand},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return err
	}
	layerFile, configFile := digest(layer)+".tar", digest(config)+".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": configFile, "RepoTags": []string{NodeImage}, "Layers": []string{layerFile}}})
	if err != nil {
		return err
	}
	image, err := archive([]entry{regular("manifest.json", 0o644, manifest), regular(configFile, 0o644, config), regular(layerFile, 0o644, layer)})
	if err != nil {
		return err
	}
	return os.WriteFile(file, image, 0o600)
}

// busyboxRoot is the root file system of the image.
func busyboxRoot(program []byte, commands []string) []entry {
	entries := []entry{
		directory("bin/", 0o755), directory("etc/", 0o755), directory("root/", 0o700), directory("tmp/", 0o1777),
		regular("bin/busybox", 0o755, program),
		regular("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n")),
		regular("etc/group", 0o644, []byte("root:x:0:\n")),
	}
	for _, command := range commands {
		if command != "busybox" {
			entries = append(entries, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + command, Linkname: "busybox", Mode: 0o777}, nil})
		}
	}
	return entries
}

// entry is a file of an archive.
type entry struct {
	header  tar.Header
	content []byte
}

func directory(name string, mode int64) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, nil}
}

func regular(name string, mode int64, content []byte) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content}
}

func archive(entries []entry) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.header.Name, err)
		}
		if _, err := w.Write(e.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.header.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
