// Makes the archive of a Go module as Go's own servers make it: FOLDER MODULE@VERSION OUT. Every file in it is called
// MODULE@VERSION/PATH, in order; there are no folders and no times, so that the same files give the same bytes. Prints the paths.
package main

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
)

func pack(folder, prefix, out string) error {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := zip.NewWriter(file)
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		inside, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		bytes, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to, err := archive.Create(prefix + "/" + filepath.ToSlash(inside))
		if err != nil {
			return err
		}
		fmt.Println(filepath.ToSlash(inside))
		_, err = to.Write(bytes)
		return err
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Sync()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: go run module-zip.go FOLDER MODULE@VERSION OUT")
	}
	if err := pack(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}
