/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The decoder: SDM vol. 2, ch. 2 (formats), app. A (opcode maps). */
#include "decode.h"

#include <stddef.h>

#include "op_system.h"
#include "ops.h"
#include "sse.h"

struct row {
	const char *name;
	const insn_fn *family; /* by form; NULL: fn */
	insn_fn fn;
	uint32_t enc;
	uint16_t param;
};

static const struct row rows[INSN_COUNT] = {
	[INSN_UD] = { .name = "ud", .fn = op_ud, .enc = E_JMP | E_SYNC },
#define V(x)			.family = ops_##x
#define S(x)			.fn = x
#define OP1(op, n, nm, e, h, p) [INSN_1_##op] = { .name = nm, .enc = (uint32_t)(e), .param = p, h },
#define OP2(op, n, nm, e, h, p) [INSN_2_##op] = { .name = nm, .enc = (uint32_t)(e), .param = p, h },
#define GRP(g, r, nm, e, h, p) \
	[INSN_##g##_##r] = { .name = nm, .enc = (uint32_t)(e), .param = p, h },
#include "insn.def"
#undef V
#undef S
#define SSE_ENC(flags)                                                        \
	(E_SSE | ((flags)&S_NOMODRM ? 0 : E_M) | ((flags)&S_MO ? E_MEM : 0) | \
		((flags)&S_RO ? E_RO : 0) | ((flags)&S_FL ? E_FW : 0))
/* sse_exec() and its faster forms */
#define SSE_EXEC(reg, rm, flags) \
	(!S_PLAIN(reg, rm, flags) ? sse_exec : (flags)&S_FP ? sse_exec_xx_fp : sse_exec_xx)
#define SSE_ROW(id, nm, e, f) [id] = { .name = #nm, .enc = (uint32_t)(e), .fn = f },
#define SSE(pfx, map, op, nm, reg, rm, mem, flags, isa) \
	SSE_ROW(INSN_##pfx##_##map##_##op, nm, SSE_ENC(flags), SSE_EXEC(reg, rm, flags))
#define SSE_I(pfx, map, op, nm, reg, rm, mem, flags, isa, mask) \
	SSE_ROW(INSN_##pfx##_##map##_##op, nm, SSE_ENC(flags) | E_I8, SSE_EXEC(reg, rm, flags))
#define SSE_C(pfx, map, op, nm, reg, rm, mem, flags, isa, handler) \
	SSE_ROW(INSN_##pfx##_##map##_##op, nm, SSE_ENC(flags), handler)
#define SSE_HEAD(pfx, op, group) \
	[INSN_##pfx##_0F_##      \
		op] = { .name = "", .enc = E_M | E_GRP | E_I8, .param = group, .fn = op_ud },
#define SSE_G(group, ext, pfx, op, nm, rm, isa) \
	SSE_ROW(INSN_##group##_##ext, nm, E_SSE | E_M | E_RO | E_I8, sse_exec)
#include "sse.def"
};

static const uint16_t map_1[256] = {
#define OP1(op, n, name, enc, handler, param) [0x##op... 0x##op + (n)-1] = INSN_1_##op,
#define OP2(op, n, name, enc, handler, param)
#define GRP(g, reg, name, enc, handler, param)
#include "insn.def"
};

static const uint16_t map_2[256] = {
#define OP1(op, n, name, enc, handler, param)
#define OP2(op, n, name, enc, handler, param) [0x##op... 0x##op + (n)-1] = INSN_2_##op,
#define GRP(g, reg, name, enc, handler, param)
#include "insn.def"
};

static const uint16_t map_group[G_COUNT][8] = {
#define OP1(op, n, name, enc, handler, param)
#define OP2(op, n, name, enc, handler, param)
#define GRP(g, reg, name, enc, handler, param) [g][reg] = INSN_##g##_##reg,
#include "insn.def"
#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa)
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask)
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler)
#define SSE_HEAD(pfx, op, group)
#define SSE_G(group, ext, pfx, op, name, rm, isa) [group][ext] = INSN_##group##_##ext,
#include "sse.def"
};

/* By map, prefix and opcode: what the prefixes make of an opcode goes before map_2. */
static const uint16_t map_sse[SSE_MAPS][SSE_PREFIXES][256] = {
#define SSE(pfx, map, op, name, reg, rm, mem, flags, isa) \
	[SSE_MAP_##map][SSE_##pfx][0x##op] = INSN_##pfx##_##map##_##op,
#define SSE_I(pfx, map, op, name, reg, rm, mem, flags, isa, mask) \
	SSE(pfx, map, op, name, reg, rm, mem, flags, isa)
#define SSE_C(pfx, map, op, name, reg, rm, mem, flags, isa, handler) \
	SSE(pfx, map, op, name, reg, rm, mem, flags, isa)
#define SSE_HEAD(pfx, op, group) [SSE_MAP_0F][SSE_##pfx][0x##op] = INSN_##pfx##_0F_##op,
#define SSE_G(group, ext, pfx, op, name, rm, isa)
#include "sse.def"
};

struct reader {
	const uint8_t *p;
	unsigned pos, avail;
	bool short_; /* ran out of bytes */
};

static inline uint32_t take(struct reader *r, unsigned n)
{
	uint32_t v = 0;

	if (r->pos + n > r->avail) {
		r->short_ = true;
		return 0;
	}
	for (unsigned i = 0; i < n; i++)
		v |= (uint32_t)r->p[r->pos + i] << (i * 8);
	r->pos += n;
	return v;
}

struct prefixes {
	bool op, addr;
	uint8_t seg;
};

/* Returns the first byte that is no prefix. */
static uint8_t take_prefixes(struct reader *r, struct prefixes *pre, struct insn *in)
{
	for (;;) {
		uint8_t b = (uint8_t)take(r, 1);

		if (r->short_)
			return 0;
		switch (b) {
		case 0x26: pre->seg = SEG_ES; break;
		case 0x2e: pre->seg = SEG_CS; break;
		case 0x36: pre->seg = SEG_SS; break;
		case 0x3e: pre->seg = SEG_DS; break;
		case 0x64: pre->seg = SEG_FS; break;
		case 0x65: pre->seg = SEG_GS; break;
		case 0x66: pre->op = true; break;
		case 0x67: pre->addr = true; break;
		case 0xf0: in->lock = 1; break;
		case 0xf2: in->rep = REP_REPNE; break;
		case 0xf3: in->rep = REP_REPE; break;
		default: return b;
		}
	}
}

/* Memory forms of 16-bit addressing (SDM vol. 2, table 2-1). */
static void take_mem16(struct reader *r, struct insn *in)
{
	static const uint8_t base[8] = { R_EBX, R_EBX, R_EBP, R_EBP, R_ESI, R_EDI, R_EBP, R_EBX };
	static const uint8_t index[8] = { R_ESI, R_EDI, R_ESI, R_EDI, REG_NONE, REG_NONE, REG_NONE,
		REG_NONE };
	unsigned mod = in->modrm >> 6, rm = in->modrm & 7;

	in->base = base[rm];
	in->index = index[rm];
	if (mod == 0 && rm == 6) {
		in->base = REG_NONE;
		in->disp = take(r, 2);
	} else if (mod == 1) {
		in->disp = (uint32_t)(int8_t)take(r, 1);
	} else if (mod == 2) {
		in->disp = (uint32_t)(int16_t)take(r, 2);
	}
	if (in->base == R_EBP)
		in->seg = SEG_SS;
}

/* Memory forms of 32-bit addressing (SDM vol. 2, tables 2-2 and 2-3). */
static void take_mem32(struct reader *r, struct insn *in)
{
	unsigned mod = in->modrm >> 6, rm = in->modrm & 7;

	in->base = (uint8_t)rm;
	if (rm == 4) {
		uint32_t sib = take(r, 1);

		in->base = sib & 7;
		in->scale = sib >> 6 & 3;
		if ((sib >> 3 & 7) != 4)
			in->index = sib >> 3 & 7;
	}
	if (mod == 0 && in->base == R_EBP) {
		in->base = REG_NONE;
		in->disp = take(r, 4);
	} else if (mod == 1) {
		in->disp = (uint32_t)(int8_t)take(r, 1);
	} else if (mod == 2) {
		in->disp = take(r, 4);
	}
	if (in->base == R_EBP || in->base == R_ESP)
		in->seg = SEG_SS;
}

static void take_modrm(struct reader *r, uint32_t enc, struct insn *in)
{
	in->reg = in->modrm >> 3 & 7;
	if (in->modrm >= 0xc0 || (enc & E_REG)) {
		in->rm = in->modrm & 7;
		return;
	}
	in->mem = 1;
	if (in->addrsize == 2)
		take_mem16(r, in);
	else
		take_mem32(r, in);
}

static void take_imm(struct reader *r, uint32_t enc, struct insn *in)
{
	unsigned z = in->opsize; /* 1 only with E_B */

	if (enc & E_IZ) {
		in->imm = take(r, z);
		if (z == 1)
			in->imm = (uint32_t)(int8_t)in->imm;
	} else if (enc & E_I8) {
		in->imm = take(r, 1);
	} else if (enc & (E_I8S | E_J8)) {
		in->imm = (uint32_t)(int8_t)take(r, 1);
	} else if (enc & E_I16) {
		in->imm = take(r, 2);
	} else if (enc & E_ENT) {
		in->imm = take(r, 2);
		in->imm2 = (uint16_t)take(r, 1);
	} else if (enc & E_FAR) {
		in->imm = take(r, z);
		in->imm2 = (uint16_t)take(r, 2);
	} else if (enc & E_OFF) {
		in->disp = take(r, in->addrsize);
	} else if (enc & E_JZ) {
		in->imm = take(r, z);
		if (z == 2)
			in->imm = (uint32_t)(int16_t)in->imm;
	}
}

static bool is_allowed(const struct insn *in, uint32_t enc, const struct prefixes *pre)
{
	if (in->lock && !((enc & E_LK) && in->mem))
		return false;
	if ((enc & E_MEM) && !in->mem)
		return false;
	if ((enc & E_RO) && in->mem)
		return false;
	if ((enc & E_NP) && (pre->op || in->rep != REP_NONE))
		return false;
	return true;
}

/* Index into a family of handlers: see operand.h. */
static unsigned form_of(const struct insn *in, uint32_t enc, unsigned mode)
{
	unsigned size = in->opsize / 2;

	if (enc & E_STK)
		return (mode & DECODE_FLAT ? FORM_FLAT : FORM_MEM) + size;
	if (!in->mem)
		return size;
	if ((mode & DECODE_FLAT) && in->addrsize == 4 &&
		(in->seg == SEG_DS || in->seg == SEG_SS || in->seg == SEG_ES))
		return FORM_FLAT + size;
	return FORM_MEM + size;
}

static enum decode_result finish(const struct reader *r, struct insn *in)
{
	if (r->short_)
		return r->avail >= INSN_LEN_MAX ? DECODE_LONG : DECODE_MORE;
	in->len = (uint8_t)r->pos;
	return DECODE_OK;
}

static enum decode_result finish_ud(const struct reader *r, struct insn *in)
{
	in->id = INSN_UD;
	in->fn = op_ud;
	return finish(r, in);
}

/* After 0F; returns the opcode. F2 and F3 go before 66, the last of them counts. */
static uint8_t take_opcode_2(struct reader *r, const struct prefixes *pre, struct insn *in)
{
	static const uint8_t of_rep[] = { [REP_REPE] = SSE_PF3, [REP_REPNE] = SSE_PF2 };
	unsigned prefix = in->rep != REP_NONE ? of_rep[in->rep] : pre->op ? SSE_P66 : SSE_NP;
	uint8_t op = (uint8_t)take(r, 1);

	if (op == 0x38 || op == 0x3a) {
		unsigned map = op == 0x38 ? SSE_MAP_0F38 : SSE_MAP_0F3A;

		op = (uint8_t)take(r, 1);
		in->id = map_sse[map][prefix][op];
		return op;
	}
	in->id = map_sse[SSE_MAP_0F][prefix][op];
	if (in->id == INSN_UD)
		in->id = map_2[op];
	return op;
}

enum decode_result decode_insn(const uint8_t *p, unsigned avail, unsigned mode, struct insn *in)
{
	struct reader r = { .p = p, .avail = avail };
	struct prefixes pre = { .seg = SEG_NONE };
	const struct row *row;
	bool code32 = mode & DECODE_CODE32;
	uint32_t enc;
	uint8_t op;

	*in = (struct insn){ .base = REG_NONE, .index = REG_NONE, .seg = SEG_DS };
	op = take_prefixes(&r, &pre, in);
	in->addrsize = code32 != pre.addr ? 4 : 2;
	in->id = map_1[op];
	if (op == 0x0f)
		op = take_opcode_2(&r, &pre, in);
	if (r.short_ || in->id == INSN_UD)
		return finish_ud(&r, in);
	row = &rows[in->id];
	enc = row->enc;
	if (enc & E_M)
		in->modrm = (uint8_t)take(&r, 1);
	if (enc & E_GRP) {
		in->id = map_group[row->param][in->modrm >> 3 & 7];
		if (in->id == INSN_UD)
			return finish_ud(&r, in);
		row = &rows[in->id];
		enc |= row->enc;
	}
	in->opsize = enc & E_B ? 1 : code32 != pre.op ? 4 : 2;
	in->imm2 = enc & E_ESC ? op : row->param;
	if (enc & E_M)
		take_modrm(&r, enc, in);
	else if (enc & E_R)
		in->reg = in->rm = op & 7;
	if (enc & E_A)
		in->rm = R_EAX;
	if (pre.seg != SEG_NONE)
		in->seg = pre.seg;
	take_imm(&r, enc, in);
	if (r.short_)
		return finish(&r, in);
	if (!is_allowed(in, enc, &pre))
		return finish_ud(&r, in);
	if (enc & E_ESC)
		in->fn = fpu_handler(op, in->modrm);
	else
		in->fn = row->family ? row->family[form_of(in, enc, mode)] : row->fn;
	return finish(&r, in);
}

uint32_t insn_enc(const struct insn *in)
{
	return rows[in->id].enc;
}

const char *insn_name(const struct insn *in)
{
	return rows[in->id].name;
}
