package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// document is one object of a file.
type document struct {
	// from is the file, and what number it has there.
	from string
	*unstructured.Unstructured
}

// String is what the object is, in a sentence.
func (d document) String() string {
	said := d.GetAPIVersion() + " " + d.GetKind()
	if name := d.GetName(); name != "" {
		said += fmt.Sprintf(" %q", name)
	}
	return said
}

// manifestExtensions are those of files that are read out of folders, as kubectl has it.
var manifestExtensions = []string{".json", ".yaml", ".yml"}

// readDocuments reads files, folders and, for "-", what comes in. Folders in folders are read if
// recursive. Lists are taken apart.
func readDocuments(in io.Reader, names []string, recursive bool) (documents []document, err error) {
	for _, name := range names {
		if name == "-" {
			found, err := parseDocuments("standard input", in)
			if err != nil {
				return nil, err
			}
			documents = append(documents, found...)
			continue
		}
		files, err := filesOf(name, recursive)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			found, err := parseDocuments(file, bytes.NewReader(data))
			if err != nil {
				return nil, err
			}
			documents = append(documents, found...)
		}
	}
	return documents, nil
}

// filesOf is a file itself, or the manifests in a folder, in order.
func filesOf(name string, recursive bool) (files []string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != name && !recursive:
			return filepath.SkipDir
		case !entry.IsDir() && slices.Contains(manifestExtensions, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("there is no file in %s that ends in .json, .yaml or .yml", name)
	}
	return files, err
}

func parseDocuments(from string, in io.Reader) (documents []document, err error) {
	reader := yaml.NewYAMLReader(bufio.NewReader(in))
	for n := 1; ; n++ {
		data, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		where := fmt.Sprintf("%s, document %d", from, n)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", where, err)
		}
		var tree map[string]any
		if err := yaml.UnmarshalStrict(data, &tree); err != nil {
			return nil, fmt.Errorf("%s is no object: %w", where, err)
		}
		if len(tree) == 0 {
			continue
		}
		object := &unstructured.Unstructured{Object: tree}
		if !object.IsList() {
			documents = append(documents, document{where, object})
			continue
		}
		items, _ := tree["items"].([]any)
		for _, item := range items {
			inner, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: an item of its list is no object", where)
			}
			documents = append(documents, document{where, &unstructured.Unstructured{Object: inner}})
		}
	}
}
