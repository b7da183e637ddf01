; SPDX-License-Identifier: GPL-2.0-or-later
; SSE as programs and operating systems meet it: who may execute it, #XM, alignment, lazy switching with FXSAVE, MXCSR's modes,
; and known results. The numbers themselves are tests/vcpu/test_sse_host.c's business. What CPUID does not show must be #UD.
; SDM vol. 1, ch. 10 to 12; vol. 3, ch. 13.
%define TEST_NAME "t_sse"
%include "lib.inc"

%define EXC_MF 16
%define EXC_XM 19
%define S(n) (FREE_SEL + (n) * 8)
%define BUF 0x300000
%define AREA 0x301000

%define CR4_FX 0x200
%define CR4_XM 0x400

%define EDX_SSE 25
%define EDX_SSE2 26
%define ECX_SSE3 0
%define ECX_SSSE3 9
%define ECX_SSE41 19
%define ECX_SSE42 20
%define ECX_POPCNT 23

%macro SETCSR 1
	mov dword [csr], %1
	ldmxcsr [csr]
%endmacro

%macro CHECK_CSR 1
	stmxcsr [csr]
	CHECK_EQ dword [csr], %1
%endmacro

; CHECK_XMM register, element 3, 2, 1, 0
%macro CHECK_XMM 5
	movups [BUF], %1
	CHECK_EQ dword [BUF + 12], %2
	CHECK_EQ dword [BUF + 8], %3
	CHECK_EQ dword [BUF + 4], %4
	CHECK_EQ dword [BUF], %5
%endmacro

; IF_EDX bit, label: goes on if CPUID has the feature, else jumps
%macro IF_EDX 2
	bt dword [cpuid_edx], %1
	jnc %2
%endmacro
%macro IF_ECX 2
	bt dword [cpuid_ecx], %1
	jnc %2
%endmacro

test_main:
	mov eax, 1
	cpuid
	mov [cpuid_ecx], ecx
	mov [cpuid_edx], edx
	mov eax, cr0
	or eax, 0x22		; NE MP
	and eax, ~0x0c
	mov cr0, eax
	fninit
	IF_EDX EDX_SSE, .none
	call control
	mov eax, cr4
	or eax, CR4_FX | CR4_XM
	mov cr4, eax
	call state
	call lazy
	call compare
	call arithmetic
	call exceptions
	call alignment
	call faults
	call user
	call mixed
	call sse2
	call sse3
	call ssse3
	call sse41
	call sse42
	call popcnt_
	ret
.none:	; nothing of it is there, nor CR4.OSXMMEXCPT
	FAULTS EXC_UD, -1, addps xmm0, xmm1
	FAULTS EXC_UD, -1, ldmxcsr [csr]
	FAULTS EXC_UD, -1, sfence
	mov eax, cr4
	or eax, CR4_XM
	FAULTS EXC_GP, 0, mov cr4, eax
	ret

; CR0.EM, CR0.TS, CR4.OSFXSR
control:
	mov eax, cr4
	and eax, ~CR4_FX
	mov cr4, eax
	FAULTS EXC_UD, -1, addps xmm0, xmm1
	FAULTS EXC_UD, -1, ldmxcsr [csr]
	FAULTS EXC_UD, -1, movups xmm0, [0xfffffff0]
	WORKS sfence
	WORKS prefetchnta [0xfffffff0]
	WORKS pavgb mm0, mm1
	emms
	mov edx, cr0		; TS too: #UD goes before #NM
	or edx, 8
	mov cr0, edx
	FAULTS EXC_UD, -1, addps xmm0, xmm1
	FAULTS EXC_NM, -1, pavgb mm0, mm1
	or eax, CR4_FX
	mov cr4, eax
	FAULTS EXC_NM, -1, addps xmm0, xmm1
	FAULTS EXC_NM, -1, stmxcsr [csr]
	FAULTS EXC_NM, -1, movups xmm0, [0xfffffff0]
	FAULTS EXC_NM, -1, fxsave [AREA]
	WORKS sfence
	or edx, 4		; EM
	mov cr0, edx
	FAULTS EXC_UD, -1, addps xmm0, xmm1
	FAULTS EXC_UD, -1, pavgb mm0, mm1
	FAULTS EXC_NM, -1, fxsave [AREA]
	WORKS sfence
	and edx, ~0x0c
	mov cr0, edx
	WORKS addps xmm0, xmm1
	ret

; RESET's values, MXCSR's reserved bits, FXSAVE and back
state:
	CHECK_CSR 0x1f80
	xorps xmm0, xmm0
	mov dword [csr], 0x10000
	FAULTS EXC_GP, 0, ldmxcsr [csr]
	CHECK_CSR 0x1f80
	SETCSR 0x9f81
	CHECK_CSR 0x9f81
	SETCSR 0x1f80
	movups xmm7, [numbers]
	movups xmm1, [numbers + 16]
	mov edi, AREA
	mov ecx, 128
	mov eax, 0xeeeeeeee
	rep stosd
	fxsave [AREA]
	CHECK_EQ dword [AREA + 24], 0x1f80
	mov eax, [AREA + 28]	; the mask: what may be set
	test eax, eax
	jnz .mask
	mov eax, 0xffbf
.mask:	mov [csr_mask], eax
	and eax, 0xffbf
	CHECK_EQ eax, 0xffbf
	CHECK_EQ dword [AREA + 160 + 7 * 16], 0x3f800000
	CHECK_EQ dword [AREA + 160 + 7 * 16 + 12], 0x40800000
	CHECK_EQ dword [AREA + 160 + 16], 0xc0000000
	CHECK_EQ dword [AREA + 464], 0xeeeeeeee
	mov dword [AREA + 160 + 7 * 16], 0x12345678
	mov dword [AREA + 24], 0x5f80
	fxrstor [AREA]
	CHECK_XMM xmm7, 0x40800000, 0x40400000, 0x40000000, 0x12345678
	CHECK_CSR 0x5f80
	mov dword [AREA + 24], 0x80000000
	mov dword [AREA + 160 + 7 * 16], 0
	FAULTS EXC_GP, 0, fxrstor [AREA]
	CHECK_XMM xmm7, 0x40800000, 0x40400000, 0x40000000, 0x12345678
	FAULTS EXC_GP, 0, fxsave [AREA + 8]
	SETCSR 0x1f80
	; each bit that the mask does not have
	xor ecx, ecx
.bit:	xor eax, eax
	bts eax, ecx
	mov [csr], eax
	GUARD
	ldmxcsr [csr]
	GUARDED
	xor edx, edx
	test [csr_mask], eax
	mov eax, EXC_GP
	jz .want
	mov eax, -1
.want:	CHECK_EQ [exc_vec], eax
	inc ecx
	cmp ecx, 32
	jb .bit
	SETCSR 0x1f80
	ret

; Two "threads", switched by a kernel that sets TS and moves the state in #NM's handler
lazy:
	movups xmm3, [numbers]
	fxsave [AREA]
	movups xmm3, [numbers + 16]
	SETCSR 0x3f80
	fxsave [AREA + 512]
	mov dword [owner], AREA + 512
	mov dword [next], AREA
	mov dword [exc_hook], switch
	mov ecx, 6
.round:	mov eax, cr0
	or eax, 8
	mov cr0, eax
	movups [BUF], xmm3	; #NM, then as if nothing had been
	test ecx, 1
	jnz .b
	CHECK_EQ dword [BUF + 4], 0x40000000
	CHECK_CSR 0x1f80
	jmp .next
.b:	CHECK_EQ dword [BUF + 4], 0xc0400000
	CHECK_CSR 0x3f80
.next:	loop .round
	mov dword [exc_hook], 0
	CHECK_EQ dword [switches], 6
	SETCSR 0x1f80
	ret

switch:	inc dword [switches]
	CHECK_EQ dword [exc_vec], EXC_NM
	clts
	mov eax, [owner]
	fxsave [eax]
	mov edx, [next]
	fxrstor [edx]
	mov [owner], edx
	mov [next], eax
	ret

%define CF 1
%define PF 4
%define ZF 0x40
%define ARITH 0x8d5

compare:
	movups xmm0, [numbers]		; 1
	movups xmm1, [numbers + 4]	; 2
	movups xmm2, [specials]		; quiet NaN
	or eax, -1
	add eax, 0x7fffffff		; flags to be cleared
	comiss xmm0, xmm0
	CHECK_FLAGS ARITH, ZF
	comiss xmm0, xmm1
	CHECK_FLAGS ARITH, CF
	comiss xmm1, xmm0
	CHECK_FLAGS ARITH, 0
	SETCSR 0x1f80
	ucomiss xmm0, xmm2
	CHECK_FLAGS ARITH, ZF | PF | CF
	CHECK_CSR 0x1f80
	comiss xmm0, xmm2
	CHECK_FLAGS ARITH, ZF | PF | CF
	CHECK_CSR 0x1f81
	SETCSR 0x1f80
	movups xmm3, [numbers]
	cmpltps xmm3, [twos]
	CHECK_XMM xmm3, 0, 0, 0, 0xffffffff
	movups xmm3, [numbers]
	cmpunordps xmm3, [specials]
	CHECK_XMM xmm3, 0, 0, 0xffffffff, 0xffffffff
	; MIN and MAX: the second operand if one is a NaN, or both are zeros
	CHECK_CSR 0x1f81		; CMPUNORD saw a signalling one
	movaps xmm3, [specials]
	minps xmm3, [numbers_a]
	CHECK_XMM xmm3, 0x3f800000, 0x40400000, 0x40000000, 0x3f800000
	xorps xmm3, xmm3
	movaps xmm4, [minus_zero]
	maxps xmm3, xmm4
	CHECK_XMM xmm3, 0x80000000, 0x80000000, 0x80000000, 0x80000000
	SETCSR 0x1f80
	ret

; Rounding, flush-to-zero, denormals-are-zeros, NaNs
arithmetic:
	movaps xmm0, [numbers_a]
	divps xmm0, [threes]
	CHECK_XMM xmm0, 0x3faaaaab, 0x3f800000, 0x3f2aaaab, 0x3eaaaaab
	CHECK_CSR 0x1fa0
	SETCSR 0x3f80			; down
	movaps xmm0, [numbers_a]
	divps xmm0, [threes]
	CHECK_XMM xmm0, 0x3faaaaaa, 0x3f800000, 0x3f2aaaaa, 0x3eaaaaaa
	SETCSR 0x5f80			; up
	movaps xmm0, [numbers_a]
	divps xmm0, [threes]
	CHECK_XMM xmm0, 0x3faaaaab, 0x3f800000, 0x3f2aaaab, 0x3eaaaaab
	movss xmm0, [sqrt_in]
	sqrtss xmm0, xmm0
	CHECK_XMM xmm0, 0, 0, 0, 0x3fb504f4
	SETCSR 0x7f80
	movss xmm0, [sqrt_in]
	sqrtss xmm0, xmm0
	CHECK_XMM xmm0, 0, 0, 0, 0x3fb504f3
	; 2^-100 * 2^-40: denormal; with FZ zero and both flags
	SETCSR 0x1f80
	movss xmm0, [tiny1]
	mulss xmm0, [tiny2]
	CHECK_XMM xmm0, 0, 0, 0, 0x00000200
	CHECK_CSR 0x1f80		; exact
	SETCSR 0x9f80
	movss xmm0, [tiny1]
	mulss xmm0, [tiny2]
	CHECK_XMM xmm0, 0, 0, 0, 0
	CHECK_CSR 0x9fb0
	; a denormal operand
	SETCSR 0x1f80
	movss xmm0, [denormal]
	addss xmm0, xmm0
	CHECK_XMM xmm0, 0, 0, 0, 0x00000200
	CHECK_CSR 0x1f82
	test dword [csr_mask], 0x40
	jz .no_daz
	SETCSR 0x1fc0
	movss xmm0, [denormal]
	addss xmm0, xmm0
	CHECK_XMM xmm0, 0, 0, 0, 0
	CHECK_CSR 0x1fc0
.no_daz:
	; the first operand's NaN, made quiet; the default one of an invalid operation
	SETCSR 0x1f80
	movaps xmm0, [specials]
	addps xmm0, [specials_b]
	CHECK_XMM xmm0, 0x7fc00006, 0xffc00000, 0x7fc00002, 0x7fc00001
	CHECK_CSR 0x1f81
	; conversions: what does not fit is the integer indefinite
	SETCSR 0x1f80
	movss xmm0, [specials]
	cvtss2si eax, xmm0
	CHECK_EQ eax, 0x80000000
	CHECK_CSR 0x1f81
	SETCSR 0x1f80
	mov eax, 0x3fe00000		; 1.75
	movaps xmm1, [zeros]
	mov [BUF], eax
	movss xmm1, [BUF]
	cvtss2si eax, xmm1
	CHECK_EQ eax, 2
	cvttss2si eax, xmm1
	CHECK_EQ eax, 1
	CHECK_CSR 0x1fa0
	mov eax, 16777217
	cvtsi2ss xmm1, eax
	CHECK_XMM xmm1, 0, 0, 0, 0x4b800000
	; RCPPS and RSQRTPS: 12 bits and a half, no flags
	SETCSR 0x1f80
	movaps xmm0, [numbers_a]
	rcpps xmm1, xmm0
	mulps xmm1, xmm0
	subps xmm1, [ones]
	andps xmm1, [abs_mask]
	cmpleps xmm1, [rcp_error]
	CHECK_XMM xmm1, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff
	rsqrtps xmm1, xmm0
	mulps xmm1, xmm1
	mulps xmm1, xmm0
	subps xmm1, [ones]
	andps xmm1, [abs_mask]
	cmpleps xmm1, [rcp_error]
	CHECK_XMM xmm1, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff
	SETCSR 0x1f80
	rcpps xmm1, [specials]
	rsqrtps xmm1, [specials]
	CHECK_CSR 0x1f80
	ret

; Unmasked ones: #XM, or #UD without CR4.OSXMMEXCPT; the destination is as it was
exceptions:
	SETCSR 0x1d80			; ZM clear
	movaps xmm0, [numbers_a]
	FAULTS EXC_XM, -1, divps xmm0, [zeros]
	CHECK_XMM xmm0, 0x40800000, 0x40400000, 0x40000000, 0x3f800000
	CHECK_CSR 0x1d84
	WORKS addps xmm0, xmm0		; the flag alone does nothing
	mov eax, cr4
	and eax, ~CR4_XM
	mov cr4, eax
	FAULTS EXC_UD, -1, divps xmm0, [zeros]
	or eax, CR4_XM
	mov cr4, eax
	; several at once: those before the computation keep those after it from being seen
	SETCSR 0x0180			; all but I and D unmasked
	movaps xmm0, [ones]
	FAULTS EXC_XM, -1, divps xmm0, [zero_and_three]
	CHECK_CSR 0x0184
	SETCSR 0x0f80			; PM clear
	movaps xmm0, [ones]
	FAULTS EXC_XM, -1, divps xmm0, [threes]
	CHECK_CSR 0x0fa0
	CHECK_XMM xmm0, 0x3f800000, 0x3f800000, 0x3f800000, 0x3f800000
	; underflow, unmasked, counts also when it is exact
	SETCSR 0x1780
	movss xmm0, [tiny1]
	FAULTS EXC_XM, -1, mulss xmm0, [tiny2]
	CHECK_CSR 0x1790
	; COMISS leaves the flags
	SETCSR 0x1f00
	movaps xmm0, [specials]
	xor eax, eax
	inc eax
	FAULTS EXC_XM, -1, comiss xmm0, xmm0
	SETCSR 0x1f80
	ret

alignment:
	movaps [BUF], xmm0
	FAULTS EXC_GP, 0, movaps xmm0, [BUF + 8]
	FAULTS EXC_GP, 0, movaps [BUF + 4], xmm0
	FAULTS EXC_GP, 0, addps xmm0, [BUF + 1]
	FAULTS EXC_GP, 0, movntps [BUF + 8], xmm0
	WORKS movups xmm0, [BUF + 1]
	WORKS movups [BUF + 3], xmm0
	WORKS addss xmm0, [BUF + 1]
	WORKS movhps xmm0, [BUF + 1]
	; of the linear address
	SET_DESC S(0), BUF + 8, 0xfffff, D_P | D_DATA | D_BIG | D_PAGES
	mov ax, S(0)
	mov fs, ax
	WORKS movaps xmm0, [fs:8]
	FAULTS EXC_GP, 0, movaps xmm0, [fs:0]
	; a limit within the operand
	SET_DESC S(0), BUF, 14, D_P | D_DATA | D_BIG
	mov fs, ax
	FAULTS EXC_GP, 0, movups xmm0, [fs:0]
	WORKS movlps xmm0, [fs:7]
	FAULTS EXC_GP, 0, movlps xmm0, [fs:8]
	mov ax, DATA32
	mov fs, ax
	ret

; Pages: nothing is done before all is known to be there
faults:
	mov edi, 0x400000		; tables: 4 MiB directly, then 8 KiB of pages at 800000h
	mov ecx, 0x800
	xor eax, eax
	rep stosd
	mov dword [0x400000], 0x83
	mov dword [0x400004], 0x400083
	mov dword [0x400008], 0x401007
	mov dword [0x401000], 0x500007
	mov eax, cr4
	or eax, 0x10			; PSE
	mov cr4, eax
	mov eax, 0x400000
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80010000
	mov cr0, eax
	jmp $ + 2
	mov edi, 0x800ff8
	mov dword [edi], 0x11111111
	mov dword [edi + 4], 0x22222222
	movaps xmm0, [numbers_a]
	FAULTS EXC_PF, 2, movups [edi], xmm0
	CHECK_EQ dword [exc_cr2], 0x801000
	CHECK_EQ dword [edi], 0x11111111
	CHECK_EQ dword [edi + 4], 0x22222222
	FAULTS EXC_PF, 0, movups xmm0, [edi]
	CHECK_EQ dword [exc_cr2], 0x801000
	CHECK_XMM xmm0, 0x40800000, 0x40400000, 0x40000000, 0x3f800000
	WORKS movlps [edi], xmm0
	WORKS movhps xmm0, [edi]
	FAULTS EXC_GP, 0, movaps xmm0, [edi + 9]	; before the page
	FAULTS EXC_PF, 0, movaps xmm0, [edi + 8]
	mov dword [0x401004], 0x501005			; read-only
	FAULTS EXC_PF, 3, movups [edi], xmm0
	WORKS movups xmm0, [edi]
	mov dword [0x401004], 0x501007
	invlpg [0x801000]
	movaps xmm0, [numbers_a]
	WORKS movups [edi], xmm0
	mov eax, cr0
	and eax, ~0x80010000
	mov cr0, eax
	CHECK_EQ dword [0x500ffc], 0x40000000		; where they are
	CHECK_EQ dword [0x501000], 0x40400000
	ret

user:
	RUN3 .ring3
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_XMM xmm5, 0x40000000, 0x40000000, 0x40000000, 0x40000000
	mov eax, cr0
	or eax, 8
	mov cr0, eax
	RUN3 .ring3
	CHECK_EQ dword [exc_vec], EXC_NM
	clts
	ret
.ring3:	movaps xmm5, [ones]
	addps xmm5, xmm5
	prefetcht0 [0xfffff000]
	sfence
	int INT_RETURN

; MMX and XMM together
mixed:
	fninit
	fld1
	SETCSR 0x1f80
	movq mm1, [ints]
	cvtpi2ps xmm0, mm1
	movlps [BUF], xmm0
	CHECK_EQ dword [BUF], 0x40a00000
	CHECK_EQ dword [BUF + 4], 0xc0c00000
	fnstsw ax			; the x87 is in MMX state
	CHECK_EQ16 ax, 0
	cvtps2pi mm0, xmm0
	movq [BUF], mm0
	CHECK_EQ dword [BUF], 5
	CHECK_EQ dword [BUF + 4], -6
	emms
	pxor mm0, mm0
	pavgb mm0, [ints]
	movq [BUF], mm0
	CHECK_EQ dword [BUF], 0x00000003
	CHECK_EQ dword [BUF + 4], 0x8080807d
	pshufw mm1, [ints], 0x1b
	movq [BUF], mm1
	CHECK_EQ dword [BUF], 0xfffaffff
	CHECK_EQ dword [BUF + 4], 0x00050000
	pmovmskb eax, mm1
	CHECK_EQ eax, 0x0f
	emms
	; a pending x87 exception stops what touches MMX registers only
	fninit
	mov word [cw], 0x37b
	fldcw [cw]
	fldz
	fld1
	fdiv st1
	FAULTS EXC_MF, -1, cvtpi2ps xmm0, mm1
	FAULTS EXC_MF, -1, pavgb mm0, mm1
	WORKS addps xmm0, xmm0
	WORKS fxsave [AREA]
	fninit
	ret

sse2:
	IF_EDX EDX_SSE2, .none
	SETCSR 0x1f80
	movapd xmm0, [doubles]
	divpd xmm0, [doubles_3]
	CHECK_XMM xmm0, 0x3fe55555, 0x55555555, 0x3fd55555, 0x55555555
	cvtpd2ps xmm1, xmm0
	CHECK_XMM xmm1, 0, 0, 0x3f2aaaab, 0x3eaaaaab
	movdqa xmm2, [bytes]
	paddusb xmm2, [bytes]
	CHECK_XMM xmm2, 0xfefcfaf8, 0xf6f4f2f0, 0x1e1c1a18, 0x16141210
	psubq xmm2, [bytes]
	pslldq xmm2, 3
	CHECK_XMM xmm2, 0x7c7b7a79, 0x780f0e0d, 0x0c0b0a09, 0x08000000
	pshufd xmm2, [bytes], 0x4e
	CHECK_XMM xmm2, 0x0f0e0d0c, 0x0b0a0908, 0x7f7e7d7c, 0x7b7a7978
	mov eax, 0x12345678
	movd xmm3, eax
	CHECK_XMM xmm3, 0, 0, 0, 0x12345678
	movnti [BUF + 64], eax
	CHECK_EQ dword [BUF + 64], 0x12345678
	mfence
	lfence
	mov edi, BUF + 128
	mov dword [edi], -1
	mov dword [edi + 4], -1
	movdqa xmm4, [bytes]
	movdqa xmm5, [mask_a]
	maskmovdqu xmm4, xmm5
	CHECK_EQ dword [edi], 0xffff09ff
	CHECK_EQ dword [edi + 4], 0x0fffffff
	ret
.none:	FAULTS EXC_UD, -1, addpd xmm0, xmm0
	FAULTS EXC_UD, -1, paddb xmm0, xmm0
	FAULTS EXC_UD, -1, movdqa xmm0, [ones]
	FAULTS EXC_UD, -1, mfence
	FAULTS EXC_UD, -1, movnti [BUF], eax
	FAULTS EXC_UD, -1, paddq mm0, mm0
	ret

sse3:
	IF_ECX ECX_SSE3, .none
	movaps xmm0, [numbers_a]
	haddps xmm0, [ones]
	CHECK_XMM xmm0, 0x40000000, 0x40000000, 0x40e00000, 0x40400000
	movddup xmm0, [doubles]
	CHECK_XMM xmm0, 0x3ff00000, 0, 0x3ff00000, 0
	lddqu xmm0, [bytes + 1]
	WORKS lddqu xmm0, [bytes + 7]
	fninit
	fld tword [minus_two_and_three_quarters]
	fisttp dword [BUF]
	CHECK_EQ dword [BUF], -2
	fnstsw ax
	CHECK_EQ16 ax, 0x20
	fninit
	ret
.none:	FAULTS EXC_UD, -1, haddps xmm0, xmm0
	FAULTS EXC_UD, -1, lddqu xmm0, [ones]
	fld1
	FAULTS EXC_UD, -1, fisttp dword [BUF]
	fninit
	ret

ssse3:
	IF_ECX ECX_SSSE3, .none
	movdqa xmm0, [bytes]
	pshufb xmm0, [reverse]
	CHECK_XMM xmm0, 0x08090a0b, 0x0c0d0e0f, 0x78797a7b, 0x00000000
	movdqa xmm0, [bytes]
	palignr xmm0, [bytes], 4
	CHECK_XMM xmm0, 0x0b0a0908, 0x7f7e7d7c, 0x7b7a7978, 0x0f0e0d0c
	ret
.none:	FAULTS EXC_UD, -1, pshufb xmm0, xmm0
	FAULTS EXC_UD, -1, pabsb mm0, mm0
	FAULTS EXC_UD, -1, palignr mm0, mm0, 1
	ret

sse41:
	IF_ECX ECX_SSE41, .none
	SETCSR 0x1f80
	movaps xmm0, [halves]
	roundps xmm1, xmm0, 1		; down
	CHECK_XMM xmm1, 0xc0400000, 0x40000000, 0xbf800000, 0
	roundps xmm1, xmm0, 0x0a	; up, quietly
	CHECK_XMM xmm1, 0xc0000000, 0x40400000, 0x80000000, 0x3f800000
	CHECK_CSR 0x1fa0
	movaps xmm0, [numbers_a]
	dpps xmm0, [ones], 0x71
	CHECK_XMM xmm0, 0, 0, 0, 0x40c00000
	pxor xmm0, xmm0
	ptest xmm0, [bytes]
	CHECK_FLAGS ARITH, ZF
	movdqa xmm0, [bytes]
	ptest xmm0, [bytes]
	CHECK_FLAGS ARITH, CF
	pextrb eax, xmm0, 9
	CHECK_EQ eax, 0x79
	pinsrd xmm0, [ints], 2
	CHECK_XMM xmm0, 0x7f7e7d7c, 5, 0x0f0e0d0c, 0x0b0a0908
	WORKS pmovzxbw xmm0, [bytes + 3]
	ret
.none:	FAULTS EXC_UD, -1, roundps xmm1, xmm0, 1
	FAULTS EXC_UD, -1, ptest xmm0, xmm0
	FAULTS EXC_UD, -1, pextrb eax, xmm0, 9
	ret

sse42:
	IF_ECX ECX_SSE42, .none
	mov eax, -1
	crc32 eax, byte [text]
	crc32 eax, word [text + 1]
	crc32 eax, byte [text + 3]
	crc32 eax, dword [text + 4]
	crc32 eax, byte [text + 8]
	not eax
	CHECK_EQ eax, 0xe3069283	; of "123456789"
	movdqu xmm0, [needle]
	pcmpistri xmm0, [text + 1], 0x0c	; a substring, at an odd address
	CHECK_EQ ecx, 3
	CHECK_FLAGS ARITH, CF | 0x80 | ZF
	mov eax, 3
	mov edx, 9
	mov ecx, -1
	pcmpestri xmm0, [text], 0x0c
	CHECK_EQ ecx, 4
	pcmpestrm xmm0, [text], 0x4c
	CHECK_XMM xmm0, 0, 0, 0x000000ff, 0
	ret
.none:	FAULTS EXC_UD, -1, crc32 eax, ecx
	FAULTS EXC_UD, -1, pcmpistri xmm0, xmm1, 0x0c
	FAULTS EXC_UD, -1, pcmpgtq xmm0, xmm1
	ret

popcnt_:
	IF_ECX ECX_POPCNT, .none
	mov eax, 0xf00f0001
	popcnt ecx, eax
	CHECK_FLAGS ARITH, 0
	CHECK_EQ ecx, 9
	mov ecx, 0x55550000
	popcnt cx, ax
	CHECK_EQ ecx, 0x55550001
	popcnt ecx, [zeros]
	CHECK_FLAGS ARITH, ZF
	CHECK_EQ ecx, 0
	ret
.none:	FAULTS EXC_UD, -1, popcnt ecx, eax
	ret

	section .data
	align 16
numbers_a:
numbers: dd 1.0, 2.0, 3.0, 4.0
	dd -2.0, -3.0, -4.0, -5.0
ones:	dd 1.0, 1.0, 1.0, 1.0
twos:	dd 2.0, 2.0, 2.0, 2.0
threes:	dd 3.0, 3.0, 3.0, 3.0
zeros:	dd 0, 0, 0, 0
zero_and_three: dd 0, 3.0, 3.0, 3.0
minus_zero: times 4 dd 0x80000000
specials: dd 0x7fc00001, 0x7f800002, 0x7f800000, 1.0
specials_b: dd 0x7fc00005, 1.0, 0xff800000, 0x7f800006
abs_mask: times 4 dd 0x7fffffff
rcp_error: times 4 dd 0x3a800000	; 2^-10, for the square
halves:	dd 0.5, -0.5, 2.5, -2.5
sqrt_in: dd 2.0
tiny1:	dd 0x0d800000			; 2^-100
tiny2:	dd 0x2b800000			; 2^-40
denormal: dd 0x100
	align 16
doubles: dq 1.0, 2.0
doubles_3: dq 3.0, 3.0
bytes:	db 8, 9, 10, 11, 12, 13, 14, 15, 0x78, 0x79, 0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f
	times 16 db 0
reverse: db 0x80, 0xff, 0x80, 0x80, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0
mask_a:	db 0, 0x80, 0x7f, 0, 0, 0, 0, 0xff
	times 8 db 0
text:	db "123456789", 0, 0, 0, 0, 0, 0, 0, 0, 0
needle:	db "567", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
minus_two_and_three_quarters: dt -2.75
	align 8
ints:	dd 5, -6
cw:	dw 0
	align 4
csr:	dd 0
csr_mask: dd 0
owner:	dd 0
next:	dd 0
switches: dd 0
cpuid_ecx: dd 0
cpuid_edx: dd 0
