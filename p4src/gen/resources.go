package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// What a stage of Tofino 1 has, and containers in all.
const (
	stageTables, stageSRAM, stageMapRAM, stageTCAM = 16, 80, 48, 24
	phvNormal, phvTagalong                         = 224, 112
)

// resources is what the compiler's resources.json says of the stages.
type resources struct {
	Resources struct {
		MAU struct {
			Stages []struct {
				Tables struct {
					IDs []struct {
						Name string `json:"table_name"`
					} `json:"ids"`
				} `json:"logical_tables"`
				RAMs struct {
					SRAMs []json.RawMessage `json:"srams"`
				} `json:"rams"`
				MapRAMs struct {
					RAMs []json.RawMessage `json:"maprams"`
				} `json:"map_rams"`
				TCAMs struct {
					TCAMs []json.RawMessage `json:"tcams"`
				} `json:"tcams"`
			} `json:"mau_stages"`
		} `json:"mau"`
	} `json:"resources"`
}

// containers is what its phv.json says of them: one each that holds anything.
type containers struct {
	Containers []struct {
		Type string `json:"container_type"`
	} `json:"containers"`
}

// report says of each stage what it has of tables, SRAM, map RAM and TCAM, and how many containers the program takes. It reads the compiler's logs in dir.
func report(dir string) (string, error) {
	var r resources
	if err := readJSON(filepath.Join(dir, "resources.json"), &r); err != nil {
		return "", err
	}
	var c containers
	if err := readJSON(filepath.Join(dir, "phv.json"), &c); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("stage tables  SRAM  map  TCAM\n")
	stages, sram, maps, tcam := 0, 0, 0, 0
	for n, s := range r.Resources.MAU.Stages {
		if len(s.Tables.IDs) == 0 {
			continue
		}
		stages = n + 1
		sram, maps, tcam = sram+len(s.RAMs.SRAMs), maps+len(s.MapRAMs.RAMs), tcam+len(s.TCAMs.TCAMs)
		fmt.Fprintf(&b, "%5d %6d %5d %4d %5d ", n, len(s.Tables.IDs), len(s.RAMs.SRAMs), len(s.MapRAMs.RAMs), len(s.TCAMs.TCAMs))
		for _, t := range s.Tables.IDs {
			b.WriteString(" " + t.Name)
		}
		b.WriteString("\n")
	}
	used := map[string]int{}
	for _, c := range c.Containers {
		used[c.Type]++
	}
	fmt.Fprintf(&b, "of 12 %6d %5d %4d %5d  each\n", stageTables, stageSRAM, stageMapRAM, stageTCAM)
	fmt.Fprintf(&b, "%d stages, %d of %d SRAM, %d of %d map RAM, %d of %d TCAM, containers: %d of %d, %d of %d tagalong\n",
		stages, sram, 12*stageSRAM, maps, 12*stageMapRAM, tcam, 12*stageTCAM, used["normal"], phvNormal, used["tagalong"], phvTagalong)
	return b.String(), nil
}

func readJSON(file string, v any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("resource report: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("resource report %s: %w", file, err)
	}
	return nil
}
