; SPDX-License-Identifier: GPL-2.0-or-later
; For test_returns.c: calls and returns of every kind. EAX: which; each ends with HLT.
	bits 32
	org 0x10000

%define FARM	  0x400000	; many blocks, then RET
%define PAGE_TABLE (0x200000 + 0x10000)
%define FRAMES	  (0x600000 ^ 0x700000)
%define SEL_CODE16 0x18

	jmp [table + eax * 4]
table:	dd deep, long_jump, elsewhere, unpaired, self_modifying, reuse, remapped, other_key, where_am_i

; ECX calls deep
deep:	mov esp, 0x300000
	call .sink
	hlt
.sink:	dec ecx
	jz .end
	call .sink
	inc ebx
.end:	ret

; Calls that do not return, ECX times
long_jump:
.again:	mov ebp, esp
	call .one
	ud2
.back:	mov esp, ebp
	dec ecx
	jnz .again
	hlt
.one:	call .two
	ud2
.two:	call .three
	ud2
.three:	jmp .back

; Returns behind the instruction that the call was before
elsewhere:
.again:	call .skip
	inc ebx
	inc edx
	dec ecx
	jnz .again
	hlt
.skip:	inc dword [esp]
	ret

; Returns without calls, from below what was called
unpaired:
.again:	call .in
	dec ecx
	jnz .again
	hlt
.in:	push .next
	ret
.next:	push .last
	inc ebx
	ret
.last:	inc ebx
	ret

; The called function writes the code that it returns to
self_modifying:
.again:	call .patch
.here:	mov eax, 1
	add ebx, eax
	dec ecx
	jnz .again
	hlt
.patch:	mov [.here + 1], cl
	ret

; More code than the cache holds, while two functions wait for it
reuse:
.again:	call .outer
	dec ecx
	jnz .again
	hlt
.outer:	call .inner
	inc ebx
	ret
.inner:	mov edx, FARM
	call edx
	inc ebx
	ret

; The called function, at EBP, calls one that maps other memory where it returns to, once out of
; four times; ESI: by loading CR3
remapped:
	mov edi, swap
.again:	call ebp
	dec ecx
	jnz .again
	hlt
swap:	test cl, 3
	jnz .same
	lea eax, [ebp + 2]	; behind call edi
	shr eax, 12
	xor dword [PAGE_TABLE + eax * 4], FRAMES
	test esi, esi
	jz .one
	mov eax, cr3
	mov cr3, eax
	ret
.one:	invlpg [ebp + 2]
.same:	ret

; EBP: the return is 16-bit code's, where what it returns to is another instruction
other_key:
	call .in
	inc dx			; there: inc edx
	hlt
.in:	test ebp, ebp
	jnz .far
	ret
.far:	jmp SEL_CODE16:.in16
	bits 16
.in16:	o32 ret
	bits 32

; A call that asks for EIP only, within functions that return
where_am_i:
.again:	call .outer
	dec ecx
	jnz .again
	hlt
.outer:	call .inner
	ret
.inner:	call .here
.here:	pop eax
	sub eax, .here - 1
	add ebx, eax
	ret
