package durable

import (
	"os"
	"path/filepath"
)

// replace replaces a file by data that is on the disk. Of a mode, Windows knows whether a file may be written; who may read it is inherited from the directory.
func replace(path string, data []byte, mode os.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // which is not there any more if all went well
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chmod(file.Name(), mode)
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	return err
}

// syncDir does nothing: NTFS has a log of names.
func syncDir(string) error { return nil }
