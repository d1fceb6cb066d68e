package pipeline

import "encoding/json"

// The bmv2 JSON format, version 2.x, as far as this package reads it
// (behavioral-model docs/JSON_format.md).

type jProgram struct {
	Meta struct {
		Version []int `json:"version"`
	} `json:"__meta__"`
	HeaderTypes       []jHeaderType       `json:"header_types"`
	Headers           []jHeader           `json:"headers"`
	HeaderStacks      []jStack            `json:"header_stacks"`
	HeaderUnionTypes  []jUnionType        `json:"header_union_types"`
	HeaderUnions      []jUnion            `json:"header_unions"`
	HeaderUnionStacks []jUnionStack       `json:"header_union_stacks"`
	FieldLists        []jFieldList        `json:"field_lists"`
	Errors            [][]json.RawMessage `json:"errors"`
	Parsers           []jParser           `json:"parsers"`
	ParseVSets        []jVSet             `json:"parse_vsets"`
	Deparsers         []jDeparser         `json:"deparsers"`
	MeterArrays       []jMeter            `json:"meter_arrays"`
	CounterArrays     []jArray            `json:"counter_arrays"`
	RegisterArrays    []jArray            `json:"register_arrays"`
	Calculations      []jCalculation      `json:"calculations"`
	LearnLists        []jFieldList        `json:"learn_lists"`
	Actions           []jAction           `json:"actions"`
	Pipelines         []jPipeline         `json:"pipelines"`
	Checksums         []jChecksum         `json:"checksums"`
	ExternInstances   []jNamed            `json:"extern_instances"`
	FieldAliases      [][]json.RawMessage `json:"field_aliases"`
}

type jNamed struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// jValue is a type/value object; the shape of Value depends on Type.
type jValue struct {
	Type     string          `json:"type"`
	Value    json.RawMessage `json:"value"`
	Bitwidth int             `json:"bitwidth"` // of a hexstr in a calculation or field list
}

// jExpr is the value of a jValue of type expression.
type jExpr struct {
	Op    string          `json:"op"`
	Left  json.RawMessage `json:"left"`
	Right json.RawMessage `json:"right"`
	Cond  json.RawMessage `json:"cond"`
}

type jHeaderType struct {
	Name      string              `json:"name"`
	ID        int                 `json:"id"`
	Fields    [][]json.RawMessage `json:"fields"` // name, width or "*", signed, saturating
	LengthExp json.RawMessage     `json:"length_exp"`
	MaxLength int                 `json:"max_length"` // bytes, whole header
}

type jHeader struct {
	Name       string `json:"name"`
	ID         int    `json:"id"`
	HeaderType string `json:"header_type"`
	Metadata   bool   `json:"metadata"`
}

type jStack struct {
	Name       string `json:"name"`
	HeaderType string `json:"header_type"`
	HeaderIDs  []int  `json:"header_ids"`
}

type jUnionType struct {
	Name    string     `json:"name"`
	Headers [][]string `json:"headers"` // member, header type
}

type jUnion struct {
	Name      string `json:"name"`
	ID        int    `json:"id"`
	UnionType string `json:"union_type"`
	HeaderIDs []int  `json:"header_ids"`
}

type jUnionStack struct {
	Name      string `json:"name"`
	UnionType string `json:"union_type"`
	UnionIDs  []int  `json:"header_union_ids"`
}

type jFieldList struct {
	ID       int      `json:"id"`
	Name     string   `json:"name"`
	Elements []jValue `json:"elements"`
}

type jParser struct {
	Name      string       `json:"name"`
	InitState string       `json:"init_state"`
	States    []jParseStat `json:"parse_states"`
}

type jParseStat struct {
	Name          string        `json:"name"`
	Ops           []jParserOp   `json:"parser_ops"`
	TransitionKey []jValue      `json:"transition_key"`
	Transitions   []jTransition `json:"transitions"`
}

type jParserOp struct {
	Op         string            `json:"op"`
	Parameters []json.RawMessage `json:"parameters"`
}

type jTransition struct {
	Type      string  `json:"type"`
	Value     *string `json:"value"`
	Mask      *string `json:"mask"`
	NextState *string `json:"next_state"`
}

type jVSet struct {
	Name     string `json:"name"`
	Bitwidth int    `json:"compressed_bitwidth"`
}

type jDeparser struct {
	Name       string       `json:"name"`
	Order      []string     `json:"order"`
	Primitives []jPrimitive `json:"primitives"`
}

type jMeter struct {
	Name         string   `json:"name"`
	Type         string   `json:"type"`
	RateCount    int      `json:"rate_count"`
	Size         int      `json:"size"`
	IsDirect     bool     `json:"is_direct"`
	Binding      string   `json:"binding"`
	ResultTarget []string `json:"result_target"`
}

type jArray struct {
	Name     string `json:"name"`
	Size     int    `json:"size"`
	Bitwidth int    `json:"bitwidth"`
	IsDirect bool   `json:"is_direct"`
	Binding  string `json:"binding"`
}

type jCalculation struct {
	Name  string   `json:"name"`
	Algo  string   `json:"algo"`
	Input []jValue `json:"input"`
}

type jAction struct {
	Name        string `json:"name"`
	ID          int    `json:"id"`
	RuntimeData []struct {
		Name     string `json:"name"`
		Bitwidth int    `json:"bitwidth"`
	} `json:"runtime_data"`
	Primitives []jPrimitive `json:"primitives"`
}

type jPrimitive struct {
	Op         string   `json:"op"`
	Parameters []jValue `json:"parameters"`
	SourceInfo struct {
		Filename string `json:"filename"`
		Line     int    `json:"line"`
		Fragment string `json:"source_fragment"`
	} `json:"source_info"`
}

type jPipeline struct {
	Name           string         `json:"name"`
	InitTable      *string        `json:"init_table"`
	Tables         []jTable       `json:"tables"`
	ActionProfiles []jProfile     `json:"action_profiles"`
	Conditionals   []jConditional `json:"conditionals"`
	ActionCalls    []jActionCall  `json:"action_calls"`
}

type jProfile struct {
	Name     string `json:"name"`
	MaxSize  int    `json:"max_size"`
	Selector *struct {
		Algo  string   `json:"algo"`
		Input []jValue `json:"input"`
	} `json:"selector"`
}

type jTable struct {
	Name           string             `json:"name"`
	MatchType      string             `json:"match_type"`
	Type           string             `json:"type"`
	ActionProfile  string             `json:"action_profile"`
	MaxSize        int                `json:"max_size"`
	WithCounters   bool               `json:"with_counters"`
	SupportTimeout bool               `json:"support_timeout"`
	DirectMeters   *string            `json:"direct_meters"`
	Key            []jKey             `json:"key"`
	ActionIDs      []int              `json:"action_ids"`
	Actions        []string           `json:"actions"`
	NextTables     map[string]*string `json:"next_tables"`
	BaseDefault    *string            `json:"base_default_next"`
	DefaultEntry   *jDefault          `json:"default_entry"`
	Entries        []jEntry           `json:"entries"`
}

type jKey struct {
	MatchType string          `json:"match_type"`
	Name      string          `json:"name"`
	Target    json.RawMessage `json:"target"` // [header, field], or header for match type valid
	Mask      *string         `json:"mask"`
}

type jDefault struct {
	ActionID         int      `json:"action_id"`
	ActionConst      bool     `json:"action_const"`
	ActionData       []string `json:"action_data"`
	ActionEntryConst bool     `json:"action_entry_const"`
}

type jEntry struct {
	MatchKey []struct {
		MatchType    string          `json:"match_type"`
		Key          json.RawMessage `json:"key"` // hexstr, or bool for match type valid
		Mask         string          `json:"mask"`
		PrefixLength int             `json:"prefix_length"`
		Start        string          `json:"start"`
		End          string          `json:"end"`
	} `json:"match_key"`
	ActionEntry struct {
		ActionID   int      `json:"action_id"`
		ActionData []string `json:"action_data"`
	} `json:"action_entry"`
	Priority int `json:"priority"`
}

type jConditional struct {
	Name       string          `json:"name"`
	Expression json.RawMessage `json:"expression"`
	TrueNext   *string         `json:"true_next"`
	FalseNext  *string         `json:"false_next"`
}

type jActionCall struct {
	Name     string  `json:"name"`
	ActionID int     `json:"action_id"`
	NextNode *string `json:"next_node"`
}

type jChecksum struct {
	Name        string          `json:"name"`
	Target      []string        `json:"target"`
	Type        string          `json:"type"`
	Calculation string          `json:"calculation"`
	Update      *bool           `json:"update"`
	Verify      *bool           `json:"verify"`
	IfCond      json.RawMessage `json:"if_cond"`
}
